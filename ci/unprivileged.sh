#!/usr/bin/env bash
# Runs the end-to-end trials as nobody: user namespaces in place of root. Needs root to become nobody.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
binary=$(cargo test --test e2e --no-run --message-format=json 2>/dev/null |
  sed -n 's/.*"executable":"\([^"]*\/e2e-[^"]*\)".*/\1/p' | tail -n 1)
[ -n "$binary" ] || { echo "ci/unprivileged.sh: no e2e binary" >&2; exit 1; }
# The clone may lie where nobody cannot look.
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cp "$binary" "$place/e2e"
cp -r scenarios "$place/scenarios"
mkdir "$place/runs" "$place/home"
chown -R 65534:65534 "$place"
cd "$place"
env -i PATH="$PATH" HOME="$place/home" TMPDIR="$place" PLUMB_REQUIRE=refnet PLUMB_SCENARIOS="$place/scenarios" PLUMB_OUT="$place/runs" \
  setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all ./e2e
