#!/usr/bin/env bash
# Makes the Python environment in which the foreign Delta readers run (delta-rs and DuckDB's delta extension, pinned),
# and prints the path of its python. Does nothing but print when the environment is there already.
#   BAYOU_CACHE   where to keep it (default ~/.cache/bayou)
#   PYTHON        the interpreter to make it with (default python3)
set -euo pipefail
dir="${BAYOU_CACHE:-$HOME/.cache/bayou}/delta-venv"
packages=(deltalake==1.6.6 pyarrow duckdb==1.5.5 duckdb-extension-delta==1.5.5 duckdb-extension-httpfs==1.5.5)
wanted="${packages[*]}"
if [ ! -x "$dir/bin/python" ] || [ "$(cat "$dir/.packages" 2>/dev/null || true)" != "$wanted" ]; then
  mkdir -p "$(dirname "$dir")"
  (
    # Two callers at once take turns; the second one finds the work done.
    if command -v flock >/dev/null; then flock 9; fi
    if [ "$(cat "$dir/.packages" 2>/dev/null || true)" != "$wanted" ]; then
      rm -rf "$dir"
      "${PYTHON:-python3}" -m venv "$dir"
      "$dir/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}"
      printf '%s' "$wanted" > "$dir/.packages"
    fi
  ) 9>"$dir.lock" >&2
fi
printf '%s\n' "$dir/bin/python"
