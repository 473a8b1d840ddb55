"""A Delta table as a queue, the writing side: every --interval-ms appends, with delta-rs, the records that have become due.

Open loop, as the load of the brokers: burst k of --burst records is due at start + k * burst / rate, whatever became of those before it.
Appends begin half an interval after the first burst: where bursts come as often as appends, a record waits as long as records do on average.
The value of a record begins with the moment it was due, in nanoseconds since the epoch (big endian). Prints one JSON object.
"""
import argparse
import json
import time

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

arguments = argparse.ArgumentParser()
arguments.add_argument("--table", required=True)
arguments.add_argument("--storage", default="{}", help="storage options of delta-rs, JSON")
arguments.add_argument("--rate", type=float, required=True)
arguments.add_argument("--burst", type=int, required=True)
arguments.add_argument("--size", type=int, default=18)
arguments.add_argument("--seconds", type=float, required=True)
arguments.add_argument("--interval-ms", type=float, default=100)
options = arguments.parse_args()
storage = json.loads(options.storage)
schema = pa.schema([("offset", pa.int64()), ("value", pa.binary())])

DeltaTable.create(options.table, schema, storage_options=storage)
table = DeltaTable(options.table, storage_options=storage)
print("ready", flush=True)

count = max(1, int(options.seconds * options.rate / options.burst))
filler = b"\x5a" * (options.size - 8)
start = time.time() + 0.5
sent = commits = 0
late = 0.0
turn = start - options.interval_ms / 2000
while sent < count:
    turn += options.interval_ms / 1000
    # A writer that is behind goes on at once: everything that is due is in the next append.
    time.sleep(max(0, turn - time.time()))
    late = max(late, time.time() - turn)
    turn = max(turn, time.time() - options.interval_ms / 1000)
    due = min(count, int((time.time() - start) * options.rate / options.burst) + 1)
    if due <= sent:
        continue
    values, offsets = [], []
    for k in range(sent, due):
        moment = int((start + k * options.burst / options.rate) * 1e9)
        values.append(pa.repeat(pa.scalar(moment.to_bytes(8, "big") + filler, pa.binary()), options.burst))
    rows = pa.table([pa.array(range(sent * options.burst, due * options.burst), pa.int64()), pa.chunked_array(values)], schema=schema)
    write_deltalake(table, rows, mode="append")
    sent, commits = due, commits + 1
print(json.dumps({"records": sent * options.burst, "commits": commits, "seconds": time.time() - start, "lateMs": late * 1000}))
