#!/usr/bin/env bash
# Fuzzes targets under libFuzzer: ci/fuzz.sh [SECONDS] [TARGET...], or with RUNS=N that many inputs each. Ends at the first target that
# breaks; the input that broke it is left in harness/fuzz/artifacts: mend, then put it into corpus/<target> and into a unit test.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../harness/fuzz"
seconds=${1:-10}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(scenario agent_line frames run_folder api_request)
host=$(rustc -vV | sed -n 's/^host: //p')
# What `cargo fuzz build --sanitizer none` passes, so that nothing has to be installed; AddressSanitizer would need a nightly compiler and
# double the time, and the targets hold no unsafe code of ours. --target keeps build scripts and macros from being instrumented.
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
-Ccodegen-units=1 --cfg fuzzing"
cargo build --quiet --release --target "$host" --bins
for target in "${targets[@]}"; do
  if [ -n "${RUNS:-}" ]; then
    limit=-runs=$RUNS
  else
    limit=-max_total_time=$seconds
  fi
  printf '\n== fuzz %s, %s\n' "$target" "$limit"
  mkdir -p "artifacts/$target"
  # New inputs go to a folder of their own: the corpus of the project stays as it is.
  found=$(mktemp -d)
  trap 'rm -rf "$found"' EXIT
  "target/$host/release/$target" "$found" "corpus/$target" "$limit" -artifact_prefix="artifacts/$target/" \
    -max_len=65536 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
  rm -rf "$found"
done
