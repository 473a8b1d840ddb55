#!/usr/bin/env bash
# Lints and renders the chart with every file of values/, and sees that everything in wrong/ is refused.
# Exits with 77 and a message where helm is not here and cannot be built.
set -euo pipefail
cd "$(dirname "$0")/../.."
BAYOU_HELM="$(test/helm/helm.sh)"
export BAYOU_HELM
PATH="$PWD/node_modules/.bin:$PATH" exec node --test test/helm/chart.test.ts
