#!/usr/bin/env python3
"""Queries the result as a Delta table with DuckDB, and checks it.

  read.py STORE events|flights COUNT     STORE as in `bayou serve --store`: s3://bucket/prefix or a folder

Needs duckdb with its delta and httpfs extensions (PyPI: duckdb, duckdb-extension-delta, duckdb-extension-httpfs of one version).
S3 takes AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""
import glob
import os
import site
import sys
import time

import duckdb

store, kind, count = sys.argv[1].rstrip("/"), sys.argv[2], int(sys.argv[3])
con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
for name in ("httpfs", "delta"):
    found = [f for folder in site.getsitepackages() for f in glob.glob(f"{folder}/duckdb_extension_{name}/**/{name}.duckdb_extension", recursive=True)]
    con.execute(f"LOAD '{found[0]}'" if found else f"INSTALL {name}; LOAD {name}")
if store.startswith("s3://"):
    endpoint = os.environ.get("AWS_ENDPOINT_URL", "")
    con.execute(
        "CREATE SECRET (TYPE s3, KEY_ID '{}', SECRET '{}', REGION '{}'{})".format(
            os.environ["AWS_ACCESS_KEY_ID"],
            os.environ["AWS_SECRET_ACCESS_KEY"],
            os.environ.get("AWS_REGION", "us-east-1"),
            f", ENDPOINT '{endpoint.split('://')[-1]}', URL_STYLE 'path', USE_SSL {str(endpoint.startswith('https')).lower()}" if endpoint else "",
        )
    )

table = f"delta_scan('{store}/topics/{kind}-utc')"
deadline = time.monotonic() + 60
while True:  # records are in the table within the flush interval
    try:
        rows = con.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    except duckdb.Error:
        rows = 0
    if rows >= count:
        break
    if time.monotonic() > deadline:
        sys.exit(f"only {rows} of {count} rows after a minute")
    time.sleep(0.2)

con.execute(
    f"""CREATE TABLE result AS
        SELECT "partition", "offset", epoch_ms("timestamp") AS kafka_ms, decode(key) AS key, decode(value)::JSON AS row FROM {table}"""
)


def one(sql):
    return con.execute(sql).fetchone()


total, places, mismatched = one(
    """SELECT count(*), count(DISTINCT ("partition", "offset")), count(*) FILTER (kafka_ms <> (row->>'epochMs')::BIGINT) FROM result"""
)
assert total == count, f"{total} rows, expected {count}"
assert places == count, f"{count - places} offsets are there twice"
assert mismatched == 0, f"{mismatched} rows whose Kafka timestamp is not the event's"

if kind == "events":
    print(con.sql(
        """SELECT row->>'device' AS device, count(*) AS events, count(DISTINCT row->>'event') AS distinct_events,
                  make_timestamp(min(kafka_ms) * 1000) AS first_utc, make_timestamp(max(kafka_ms) * 1000) AS last_utc
           FROM result GROUP BY 1 ORDER BY 1"""))
    # The devices' wall clocks are hours apart; in UTC all events lie within the minutes of this run.
    oldest, newest = one("SELECT min(kafka_ms), max(kafka_ms) FROM result")
    assert newest - oldest < 10 * 60_000, "the time zones were not removed"
    assert abs(time.time() * 1000 - newest) < 10 * 60_000, "the events are not from now"
else:
    print(con.sql(
        """SELECT row->>'zone' AS zone, count(*) AS flights, round(avg((row->>'delay')::DOUBLE), 1) AS mean_delay_min,
                  make_timestamp(min(kafka_ms) * 1000) AS first_utc, make_timestamp(max(kafka_ms) * 1000) AS last_utc
           FROM result GROUP BY 1 ORDER BY 2 DESC"""))
    # 2001-01-01 06:55 in Los Angeles (UTC-8).
    assert one("SELECT count(*) FROM result WHERE key = 'LAX' AND kafka_ms = 978360900000")[0] >= 1, "the first flight of Los Angeles is not where it should be"
print(f"{kind}: {total} rows, each once")
