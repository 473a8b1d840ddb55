#!/usr/bin/env python3
"""Reads and changes Delta tables as other people's programs do: with delta-rs (deltalake) and with DuckDB's delta extension.

One shot:   read_delta.py ENGINE TABLE [--version N] [--rows] [--where SQL]
            ENGINE is `deltalake` or `duckdb`; TABLE a path or s3://bucket/prefix.
            Prints one JSON line: version (null for DuckDB without --version), count, and per partition count, distinct
            offsets, and least and greatest offset. With --rows one JSON line per row instead, ordered by partition and offset.
Serving:    read_delta.py serve
            One JSON command per line of input, one JSON line of output each: {"ok": ...} or {"error": "..."}.
            {"op": "summary" | "rows" | "count", "engine", "table", "version"?, "where"?}
            {"op": "optimize" | "zorder" | "vacuum" | "delete" | "update" | "append" | "checkpoint" | "properties" | "constraint" | "unconstrain" | "restore" |
             "history" | "files" | "txn", "table", ...}: what other writers do to a table, all with deltalake except append, which takes "engine".
Bytes are base64, timestamps milliseconds since the epoch, headers lists of [key, value].
S3: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION.
"""
import argparse
import base64
import glob
import json
import os
import sys

_duckdb = None


def storage_options():
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    options = {
        "AWS_REGION": os.environ.get("AWS_REGION", "us-east-1"),
        "aws_conditional_put": "etag",
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if name in os.environ:
            options[name] = os.environ[name]
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
        options["AWS_ALLOW_HTTP"] = "true"
        options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "false"
    return options


def options_for(table):
    return storage_options() if table.startswith("s3://") else None


def duckdb_connection():
    global _duckdb
    if _duckdb is None:
        import duckdb

        # A small thread pool: the tests of several people share few cores. Times are compared in UTC.
        con = duckdb.connect(config={"threads": "2"})
        site = os.path.dirname(os.path.dirname(duckdb.__file__))
        for name in ("httpfs", "delta"):
            found = glob.glob(f"{site}/duckdb_extension_{name}/**/{name}.duckdb_extension", recursive=True)
            con.execute(f"LOAD '{found[0]}'")
        con.execute("SET TimeZone='UTC'")
        if os.environ.get("AWS_ENDPOINT_URL"):
            url = os.environ["AWS_ENDPOINT_URL"]
            con.execute(
                "CREATE SECRET (TYPE s3, KEY_ID '{}', SECRET '{}', REGION '{}', ENDPOINT '{}', URL_STYLE 'path', USE_SSL {})".format(
                    os.environ.get("AWS_ACCESS_KEY_ID", ""),
                    os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
                    os.environ.get("AWS_REGION", "us-east-1"),
                    url.split("://", 1)[1].rstrip("/"),
                    "true" if url.startswith("https") else "false",
                )
            )
        _duckdb = con
    return _duckdb


def scan(table, version):
    quoted = table.replace("'", "''")
    at = "" if version is None else f", version={int(version)}"
    return f"delta_scan('{quoted}'{at})"


def delta_table(table, version=None):
    from deltalake import DeltaTable

    return DeltaTable(table, version=version, storage_options=options_for(table))


# DuckDB turns timestamps into Python's only with a package that is not here.
COLUMNS = {
    "deltalake": '"partition", "offset", "timestamp", "timestampType", "key", "value", "headers"',
    "duckdb": '"partition", "offset", epoch_ms("timestamp"), "timestampType", "key", "value", "headers"',
}
SUMMARY = 'SELECT "partition", count(*), count(DISTINCT "offset"), min("offset"), max("offset") FROM {} {} GROUP BY "partition" ORDER BY 1'


def query(engine, table, version, sql):
    """Rows of a query in which {} is the table. deltalake's own reader feeds its rows to the SQL of delta-rs."""
    if engine == "duckdb":
        return duckdb_connection().execute(sql.format(scan(table, version))).fetchall(), None
    from deltalake import QueryBuilder

    dt = delta_table(table, version)
    result = QueryBuilder().register("t", dt).execute(sql.format("t"))
    result = result.read_all() if hasattr(result, "read_all") else result
    import pyarrow

    arrow = pyarrow.table(result)
    columns = [column.to_pylist() for column in arrow.columns]
    return list(zip(*columns)) if columns else [], dt.version()


def summary(engine, table, version=None, where=None):
    condition = f"WHERE {where}" if where else ""
    # Both halves are plain strings: braces stay for the table.
    rows, at = query(engine, table, version, SUMMARY.format("{}", condition))
    partitions = {
        str(partition): {"count": count, "distinct": distinct, "min": least, "max": greatest}
        for partition, count, distinct, least, greatest in rows
    }
    return {
        "engine": engine,
        "version": at if version is None else version,
        "count": sum(part["count"] for part in partitions.values()),
        "partitions": partitions,
    }


def count(engine, table, version=None, where=None):
    condition = f" WHERE {where}" if where else ""
    rows, _ = query(engine, table, version, "SELECT count(*) FROM {}" + condition)
    return rows[0][0]


def rows_of(engine, table, version=None, where=None):
    condition = f" WHERE {where}" if where else ""
    rows, _ = query(engine, table, version, f"SELECT {COLUMNS[engine]} FROM {{}}{condition} ORDER BY 1, 2")

    def raw(value):
        return None if value is None else base64.b64encode(bytes(value)).decode()

    def headers(value):
        return None if value is None else [[header["key"], raw(header["value"])] for header in value]

    def millis(value):
        return value if value is None or isinstance(value, int) else round(value.timestamp() * 1000)

    return [
        {
            "partition": partition,
            "offset": offset,
            "timestamp": millis(timestamp),
            "timestampType": kind,
            "key": raw(key),
            "value": raw(value),
            "headers": headers(all_headers),
        }
        for partition, offset, timestamp, kind, key, value, all_headers in rows
    ]


def append(engine, table, partition, values):
    """Appends rows without offset, the way people do who know only the values."""
    import pyarrow as pa

    data = pa.table(
        {
            "partition": pa.array([partition] * len(values), pa.int32()),
            "offset": pa.array([None] * len(values), pa.int64()),
            "timestamp": pa.array([None] * len(values), pa.timestamp("us", "UTC")),
            "timestampType": pa.array([None] * len(values), pa.int32()),
            "key": pa.array([None] * len(values), pa.binary()),
            "value": pa.array([value.encode() for value in values], pa.binary()),
            "headers": pa.array([None] * len(values), pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
        }
    )
    if engine == "duckdb":
        con = duckdb_connection()
        con.register("incoming", data)
        con.execute(f"ATTACH '{table}' AS target (TYPE delta)")
        try:
            con.execute("INSERT INTO target SELECT * FROM incoming")
        finally:
            con.execute("DETACH target")
            con.unregister("incoming")
        return delta_table(table).version()
    from deltalake import write_deltalake

    write_deltalake(table, data, mode="append", storage_options=options_for(table))
    return delta_table(table).version()


def change(command):
    op, dt = command["op"], delta_table(command["table"])
    if op == "optimize":
        return dt.optimize.compact()
    if op == "zorder":
        return dt.optimize.z_order(command["columns"])
    if op == "vacuum":
        return dt.vacuum(
            retention_hours=command.get("retention_hours", 0), dry_run=False, enforce_retention_duration=False, full=command.get("full", False)
        )
    if op == "delete":
        return dt.delete(command["where"])
    if op == "update":
        return dt.update(updates=command["set"], predicate=command["where"])
    if op == "checkpoint":
        return dt.create_checkpoint()
    if op == "properties":
        return dt.alter.set_table_properties(command["properties"], raise_if_not_exists=False)
    if op == "restore":
        return dt.restore(command["version"])
    if op == "history":
        return dt.history()
    if op == "files":
        return dt.file_uris()
    if op == "constraint":
        return dt.alter.add_constraint({command["name"]: command["expression"]})
    if op == "unconstrain":
        return dt.alter.drop_constraint(command["name"])
    if op == "txn":
        return dt.transaction_version(command["app"])
    raise ValueError(f"unknown op {op}")


def run(command):
    op = command["op"]
    arguments = (command.get("engine", "deltalake"), command["table"])
    if op in ("summary", "rows", "count"):
        read = {"summary": summary, "rows": rows_of, "count": count}[op]
        return read(*arguments, command.get("version"), command.get("where"))
    if op == "append":
        return append(*arguments, command.get("partition"), command["values"])
    return change(command)


def serve():
    for line in sys.stdin:
        try:
            answer = {"ok": run(json.loads(line))}
        except Exception as error:  # whatever a library throws is an answer
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer, default=str), flush=True)


def main():
    if sys.argv[1:2] == ["serve"]:
        return serve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=["deltalake", "duckdb"])
    parser.add_argument("table")
    parser.add_argument("--version", type=int)
    parser.add_argument("--rows", action="store_true")
    parser.add_argument("--where")
    arguments = parser.parse_args()
    if arguments.rows:
        for row in rows_of(arguments.engine, arguments.table, arguments.version, arguments.where):
            print(json.dumps(row))
    else:
        print(json.dumps(summary(arguments.engine, arguments.table, arguments.version, arguments.where)))


if __name__ == "__main__":
    main()
