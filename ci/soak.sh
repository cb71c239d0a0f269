#!/usr/bin/env bash
# The whole suite on the reference network again and again: ci/soak.sh [N] (50). Ends at the first run that is not green and keeps its run
# folders; a green run's are taken away. Says how long each took and what else the machine was doing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-50}
export PLUMB_REQUIRE=refnet
binary=$(cargo test --test e2e --no-run --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\/e2e-[^"]*\)".*/\1/p' | tail -n 1)
[ -n "$binary" ] || { echo "ci/soak.sh: no e2e binary" >&2; exit 1; }
place=${PLUMB_OUT:-target/plumb-soak}
mkdir -p "$place"
for round in $(seq "$rounds"); do
  began=$(date +%s%3N)
  status=0
  PLUMB_OUT=$place/$round "$binary" refnet:: >"$place/$round.log" 2>&1 || status=$?
  took=$(($(date +%s%3N) - began))
  printf 'round %d of %d: status %d, %d.%01d s, load %s\n' "$round" "$rounds" "$status" $((took / 1000)) $((took % 1000 / 100)) "$(cut -d' ' -f1-3 /proc/loadavg)"
  if [ "$status" -ne 0 ]; then
    cat "$place/$round.log"
    echo "ci/soak.sh: round $round is not green; its runs are in $place/$round" >&2
    exit "$status"
  fi
  rm -rf "${place:?}/$round" "$place/$round.log"
done
