#!/usr/bin/env bash
# The whole example on MinIO: two producers in different time zones, the ETL program, and a query of the result as a Delta table; then the same
# on real data. Starts what it needs, on free ports, and ends it again.
#
#   examples/etl/run.sh            needs `npm ci` in the repository; brings MinIO (Go) and DuckDB (Python) on first use
#   KEEP=1 examples/etl/run.sh     leaves the logs and the data of MinIO
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
node=$root/node_modules/node/bin/node
work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  if [ -n "${KEEP:-}" ]; then echo "kept $work"; else rm -rf "$work"; fi
}
trap finish EXIT

free_port() { "$node" -e "require('net').createServer().listen(0, '127.0.0.1', function () { console.log(this.address().port); this.close() })"; }
until_line() { # until_line FILE TEXT SECONDS
  for _ in $(seq $(($3 * 10))); do
    if grep -q "$2" "$1" 2>/dev/null; then return 0; fi
    sleep 0.1
  done
  echo "no '$2' within $3 s:" >&2
  cat "$1" >&2
  exit 1
}

[ -d "$here/node_modules" ] || (cd "$here" && npm ci --no-audit --no-fund >/dev/null)
python=$("$root/test/support/delta-python.sh")

"$node" "$root/scripts/minio.ts" --port "$(free_port)" --dir "$work/minio" >"$work/minio.env" 2>"$work/minio.log" &
pids+=($!)
until_line "$work/minio.env" AWS_SECRET_ACCESS_KEY 600
source <(grep ^export "$work/minio.env")

store=s3://bayou/etl
"$node" "$root/src/main.ts" serve --listen 127.0.0.1:0 --http off --store "$store" --log-format json >"$work/broker.log" &
pids+=($!)
until_line "$work/broker.log" '"ready"' 60
BROKER=$(grep '"ready"' "$work/broker.log" | sed 's/.*"kafka":"\([^"]*\)".*/\1/')
export BROKER NODE_NO_WARNINGS=1

cd "$here"
events=5000
"$node" etl.js events $((2 * events)) &
etl=$!
"$node" produce-events.js America/New_York $events &
one=$!
"$node" produce-events.js Asia/Kolkata $events &
two=$!
wait "$one" && wait "$two" && wait "$etl"
"$python" read.py "$store" events $((2 * events))

"$node" etl.js flights 20000 &
etl=$!
"$node" produce-flights.js
wait "$etl"
"$python" read.py "$store" flights 20000
echo '2 passed, 0 failed'
