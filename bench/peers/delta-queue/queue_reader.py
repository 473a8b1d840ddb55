"""A Delta table as a queue, the reading side: asks delta-rs for new versions and reads the files that they added.

The age of a row runs from the moment it was due, with which its value begins, until this process has it in an Arrow table. Files of
commits that say of themselves that they change no data (OPTIMIZE) are left alone, as by every reader of a Delta table as a stream.
Waits for the table, reads --records rows, or what there is when nothing came for --idle-seconds, and prints one JSON object.
"""
import argparse
import json
import time
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as fs
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

arguments = argparse.ArgumentParser()
arguments.add_argument("--table", required=True)
arguments.add_argument("--storage", default="{}", help="storage options of delta-rs, JSON")
arguments.add_argument("--records", type=int, required=True)
arguments.add_argument("--warmup", type=float, default=1, help="seconds from the first moment that do not count")
arguments.add_argument("--poll-ms", type=float, default=5)
arguments.add_argument("--idle-seconds", type=float, default=15)
arguments.add_argument("--start-seconds", type=float, default=60, help="how long to wait for the first row")
options = arguments.parse_args()
storage = json.loads(options.storage)


def open_store():
    """The file system, and from the names that delta-rs gives to its names."""
    if not options.table.startswith("s3://"):
        return fs.LocalFileSystem(), lambda uri: unquote(urlparse(uri).path) if uri.startswith("file:") else uri
    endpoint = urlparse(storage["AWS_ENDPOINT_URL"])
    remote = fs.S3FileSystem(access_key=storage["AWS_ACCESS_KEY_ID"], secret_key=storage["AWS_SECRET_ACCESS_KEY"], region=storage["AWS_REGION"],
                             endpoint_override=endpoint.netloc, scheme=endpoint.scheme)
    return remote, lambda uri: unquote(uri[len("s3://"):])


filesystem, path_of = open_store()
root = path_of(options.table)


def read(path):
    return pq.read_table(path, columns=["value"], filesystem=filesystem, partitioning=None)


def data_files(version):
    """The files that a commit added with new data."""
    with filesystem.open_input_stream(f"{root}/_delta_log/{version:020}.json") as commit:
        actions = [json.loads(line) for line in commit.read().splitlines() if line]
    return [f"{root}/{unquote(action['add']['path'])}" for action in actions if action.get("add", {}).get("dataChange")]


print("ready", flush=True)
give_up = time.time() + options.start_seconds
table = None
while table is None:
    try:
        table = DeltaTable(options.table, storage_options=storage)
    except TableNotFoundError:
        if time.time() > give_up:
            raise
        time.sleep(0.01)

weights = {}
rows = 0
version = -1
last = max(give_up - options.idle_seconds, time.time())
while rows < options.records and time.time() < last + options.idle_seconds:
    if version >= 0:
        table.update_incremental()
    if table.version() == version:
        time.sleep(options.poll_ms / 1000)
        continue
    while version < table.version():
        version += 1
        for path in data_files(version):
            part = read(path)
            last = time.time()
            rows += part.num_rows
            moments = pc.binary_slice(part["value"].cast(pa.binary()), 0, 8)
            for entry in pc.value_counts(moments).to_pylist():
                due = int.from_bytes(entry["values"], "big") / 1e9
                # A greeting carries no moment.
                if 1e9 < due < 1e10:
                    weights.setdefault(due, []).append((last - due, entry["counts"]))

first = min(weights, default=0)
ages = sorted(pair for due, pairs in weights.items() if due >= first + options.warmup for pair in pairs)
total = sum(n for _, n in ages)


def quantile(q):
    below = 0
    for age, n in ages:
        below += n
        if below > q * total:
            return age * 1000
    return ages[-1][0] * 1000 if ages else None


print(json.dumps({"rows": rows, "versions": version + 1, "count": total, "p50": quantile(0.5), "p99": quantile(0.99), "max": quantile(1)}))
