#!/usr/bin/env bash
# Fuzzes every target for a while: ci/fuzz.sh [SECONDS]. What breaks a target is left in harness/fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../harness/fuzz"
seconds=${1:-10}
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz
# cargo fuzz asks the compiler for coverage counters, which a stable one gives only when told that this is meant.
export RUSTC_BOOTSTRAP=1
# Without AddressSanitizer: the targets hold no unsafe code of ours, and builds are half as long.
for target in scenario agent_line frames run_folder api_request; do
  printf '\n== fuzz %s for %s s\n' "$target" "$seconds"
  # New inputs go to a folder of their own: the corpus of the project stays as it is.
  found=$(mktemp -d)
  cargo fuzz run --sanitizer none "$target" "$found" "corpus/$target" -- -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
  rm -rf "$found"
done
