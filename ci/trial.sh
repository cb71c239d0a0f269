#!/usr/bin/env bash
# One square of the GitHub matrix: ci/trial.sh PROVIDER SCENARIO PROFILE. Leaves the run folder in runs/ and a step summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
provider=$1 scenario=$2 profile=$3
status=0
cargo run --quiet -- run "$scenario" --provider "$provider" --profile "$profile" --out runs || status=$?
if compgen -G "runs/*/plan.json" >/dev/null; then
  folders=(runs/*/)
  cargo run --quiet -- report "${folders[@]}" --format junit >runs/junit.xml || true
  if [ -n "${GITHUB_STEP_SUMMARY:-}" ]; then
    cargo run --quiet -- report "${folders[@]}" --format github >>"$GITHUB_STEP_SUMMARY" || true
  fi
fi
exit "$status"
