#!/usr/bin/env bash
# The tool must see a broken promise: a Gateway that terminates what it should pass through is exit status 1, with the reason.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0
cargo run --quiet -- run tls-passthrough --provider refnet --fault tls-terminates-passthrough --out "$out/runs" >"$out/report" || status=$?
cat "$out/report"
[ "$status" -eq 1 ] || { echo "ci/fault.sh: exit status $status, expected 1" >&2; exit 1; }
grep -q "TLS session ends before the backend" "$out/report" || { echo "ci/fault.sh: the report does not say why" >&2; exit 1; }
