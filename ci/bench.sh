#!/usr/bin/env bash
# Every benchmark of the project, as one Markdown table with the machine beside it: ci/bench.sh. What is compared (wrk, tcpdump) runs
# within the same minute on the same server or flood; ci/install.sh brings both when it can. As root, because captures and labs are in it.
#
# The agent is measured as it goes into foreign containers and nodes (profile `agent`), labs and suite as `cargo test --test e2e` runs
# them (profile `dev`, in which the crates that move packets are optimised).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PLUMB_BENCH=1 ci/install.sh
export PLUMB_REQUIRE=refnet
cargo build --quiet --profile agent -p plumb-agent --examples
cargo build --quiet -p plumb
program() { # of a test target, by its name
  cargo test --test "$1" --no-run --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\/'"$1"'-[^"]*\)".*/\1/p' | tail -n 1
}
e2e=$(program e2e) bench=$(program bench)
[ -n "$e2e" ] && [ -n "$bench" ] || { echo "ci/bench.sh: no e2e or bench binary" >&2; exit 1; }
target=${CARGO_TARGET_DIR:-target}
load() { cut -d' ' -f1-3 /proc/loadavg; }
printf 'Machine: %s, %s processors, %s GiB, Linux %s. Load average before: %s' \
  "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(awk '/^MemTotal/ {printf "%d", $2 / 1048576}' /proc/meminfo)" \
  "$(uname -r)" "$(load)"
printf '\n\n| what | figure | against | ratio | aim |\n|---|---|---|---|---|\n'
"$target/agent/examples/bench"
"$target/agent/examples/bench_capture"
"$bench" "$e2e" "$target/debug/plumb"
printf '\nLoad average after: %s\n' "$(load)"
