#!/bin/sh
# Prints frames.json: the golden text (see plainText in golden.test.ts) compressed by franz-go (frames.go) and by the
# command line tools lz4 and zstd, whose options reach the corners of the frame formats that clients rarely use.
#   ./frames.sh <directory of a Go module that requires github.com/twmb/franz-go>
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk 'BEGIN { for (i = 0; i < 5000; i++) printf "line %d of the golden text\n", i % 89 }' >"$work/plain"
head -c 70000 "$work/plain" >"$work/a"
tail -c +70001 "$work/plain" >"$work/b"

one() { # name, codec number, file
  printf '{"name":"%s","codec":%d,"base64":"%s"}\n' "$1" "$2" "$(base64 -w0 "$3")"
}
lz() { # name, options of lz4
  name=$1
  shift
  lz4 -q -c "$@" <"$work/plain" >"$work/out"
  one "lz4 $name" 3 "$work/out"
}
{
  cp "$here/frames.go" "$1/main.go"
  (cd "$1" && go run .)
  lz 'linked 64K' -B4 -BD
  lz 'independent 64K, no frame checksum' -B4 -BI --no-frame-crc
  lz 'independent 4M' -B7 -BI
  lz 'linked 64K with block checksums' -B4 -BD -BX
  lz 'high compression' -9 -B5
  lz4 -q -c --content-size -B4 -BD "$work/plain" >"$work/out"
  one 'lz4 content size' 3 "$work/out"
  { lz4 -q -c -B4 -BD <"$work/a"; printf '\120\052\115\030\003\000\000\000abc'; lz4 -q -c -B4 -BI <"$work/b"; } >"$work/out"
  one 'lz4 concatenated with a skippable frame' 3 "$work/out"
  zstd -q -c -19 <"$work/plain" >"$work/out"
  one 'zstd 19' 4 "$work/out"
  zstd -q -c --no-check <"$work/plain" >"$work/out"
  one 'zstd without checksum' 4 "$work/out"
  { zstd -q -c <"$work/a"; printf '\120\052\115\030\003\000\000\000abc'; zstd -q -c <"$work/b"; } >"$work/out"
  one 'zstd concatenated with a skippable frame' 4 "$work/out"
  { gzip -c <"$work/a"; gzip -9 -c <"$work/b"; } >"$work/out"
  one 'gzip concatenated' 1 "$work/out"
} | paste -sd, | sed 's/^/[/; s/$/]/; s/},{/},\n{/g'
