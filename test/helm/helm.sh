#!/usr/bin/env bash
# Prints the path of helm: from BAYOU_HELM, from PATH, from the cache, or built with Go into the cache (once, some minutes).
#   BAYOU_CACHE   where to keep it (default ~/.cache/bayou)
# Exits with 77 and a message where there is neither helm nor Go.
set -euo pipefail
if [ -n "${BAYOU_HELM:-}" ]; then
  echo "$BAYOU_HELM"
  exit
fi
if command -v helm; then exit; fi
bin="${BAYOU_CACHE:-$HOME/.cache/bayou}/bin"
if [ ! -x "$bin/helm" ]; then
  if ! command -v go >/dev/null; then
    echo "helm is not here, and neither is Go (https://go.dev/dl) to build it: the chart was not tested" >&2
    exit 77
  fi
  echo "building helm with \`go install helm.sh/helm/v3/cmd/helm@latest\`; this takes some minutes, once" >&2
  # Built aside and renamed: another process may be doing the same.
  mkdir -p "$bin"
  aside="$(mktemp -d "$bin/build.XXXXXX")"
  trap 'rm -rf "$aside"' EXIT
  GOBIN="$aside" go install helm.sh/helm/v3/cmd/helm@latest >&2
  mv -f "$aside/helm" "$bin/helm"
fi
echo "$bin/helm"
