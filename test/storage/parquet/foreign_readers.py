"""Reads our Parquet files with other people's libraries, and writes files as they write them. Called by foreign-readers.test.ts.

    foreign_readers.py read FILE    prints {"pyarrow": rows, "duckdb": rows, "schema": ...} as JSON
    foreign_readers.py write DIR    writes one file per writer and setting, prints their names as JSON
"""
import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq

try:
    import duckdb
except ImportError:
    duckdb = None


def hexed(value):
    return None if value is None else bytes(value).hex()


def row(offset, micros, kind, key, value, headers):
    return {
        "offset": offset, "micros": micros, "timestampType": kind, "key": hexed(key), "value": hexed(value),
        "headers": None if headers is None else [[h["key"], hexed(h["value"])] for h in headers],
    }


def read_pyarrow(path):
    table = pq.read_table(path)
    table = table.set_column(1, "timestamp", table.column("timestamp").cast(pa.int64()))
    return [row(r["offset"], r["timestamp"], r["timestampType"], r["key"], r["value"], r["headers"]) for r in table.to_pylist()]


def read_duckdb(path):
    if duckdb is None:
        return None
    query = f"""select "offset", epoch_us("timestamp"), "timestampType", "key", "value", headers from '{path}'"""
    return [row(*r) for r in duckdb.sql(query).fetchall()]


def pruned(path):
    """Row groups whose statistics allow offset 1500, and whether the page index and sorting order can be read."""
    meta = pq.ParquetFile(path).metadata
    groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
    stats = [g.column(0).statistics for g in groups]
    return {
        "ranges": [[s.min, s.max, s.null_count] for s in stats],
        "sorted": [[c.column_index for c in g.sorting_columns] for g in groups],
        "pageIndex": all(g.column(0).has_offset_index and g.column(0).has_column_index for g in groups),
    }


def read(path):
    print(json.dumps({
        "pyarrow": read_pyarrow(path), "duckdb": read_duckdb(path), "meta": pruned(path),
        "schema": str(pq.read_schema(path).remove_metadata()),
    }))


def sample(n):
    order = list(range(n // 2, n)) + list(range(n // 2))
    header = pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))
    return pa.table({
        "offset": pa.array(order, pa.int64()),
        "timestamp": pa.array([1_700_000_000_000_000 + i * 1000 for i in order], pa.timestamp("us", "UTC")),
        "timestampType": pa.array([0] * n, pa.int32()),
        "key": pa.array([None if i % 5 == 0 else b"k%d" % (i % 3) for i in order], pa.binary()),
        "value": pa.array([b"value-%d" % i for i in order], pa.binary()),
        "headers": pa.array([[{"key": "h", "value": b"%d" % i}] if i % 4 == 0 else None for i in order], header),
        "partition": pa.array([0] * n, pa.int32()),
    })


def write(folder):
    table = sample(2000)
    large = table.cast(pa.schema([
        f.with_type(pa.large_binary()) if f.name in ("key", "value") else f for f in table.schema
    ]))
    settings = {
        "plain": dict(use_dictionary=False, compression="none"),
        "v2-zstd": dict(data_page_version="2.0", compression="zstd", row_group_size=300),
        "delta": dict(use_dictionary=False, compression="gzip", column_encoding={
            "offset": "DELTA_BINARY_PACKED", "value": "DELTA_BYTE_ARRAY", "key": "DELTA_LENGTH_BYTE_ARRAY"}),
        "lz4-nostats": dict(compression="lz4", write_statistics=False, row_group_size=700),
        "int96": dict(use_deprecated_int96_timestamps=True, compression="snappy"),
        "compliant-off": dict(use_compliant_nested_type=False, compression="brotli"),
        "pageindex": dict(write_page_index=True, write_page_checksum=True, row_group_size=500, data_page_size=1024),
        "millis": dict(coerce_timestamps="ms", version="2.6"),
    }
    names = []
    for name, options in settings.items():
        pq.write_table(table, f"{folder}/{name}.parquet", **options)
        names.append(f"{name}.parquet")
    pq.write_table(large, f"{folder}/large.parquet")
    names.append("large.parquet")
    if hasattr(pa, "binary_view"):
        view = pa.table({n: (c.cast(pa.binary_view()) if n in ("key", "value") else c) for n, c in zip(table.column_names, table.columns)})
        try:
            pq.write_table(view, f"{folder}/view.parquet")
            names.append("view.parquet")
        except pa.ArrowNotImplementedError:
            pass
    if duckdb is not None:
        duckdb.sql(f"""copy (select * from '{folder}/plain.parquet') to '{folder}/duckdb.parquet' (format parquet, row_group_size 2048)""")
        names.append("duckdb.parquet")
    print(json.dumps(names))


if __name__ == "__main__":
    {"read": read, "write": write}[sys.argv[1]](sys.argv[2])
