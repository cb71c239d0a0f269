#!/usr/bin/env bash
# The table of faults: every scenario with every fault, against what the scenarios declare. Shown in the step summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=${PLUMB_OUT:-target/plumb-faults}
status=0
PLUMB_OUT=$out cargo test --test faults || status=$?
if [ -n "${GITHUB_STEP_SUMMARY:-}" ] && [ -f "$out/faults.md" ]; then
  cat "$out/faults.md" >>"$GITHUB_STEP_SUMMARY"
fi
exit "$status"
