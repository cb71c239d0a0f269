#!/usr/bin/env bash
# Every check of the project: form, lints, all tests as this user, and the end-to-end trials once more as an unprivileged user.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Here the reference network must be there: its trials are not ignored, they fail.
export PLUMB_REQUIRE=refnet

say() { printf '\n== %s\n' "$*"; }

say "form"
cargo fmt --all --check

say "lints"
cargo clippy --workspace --all-targets -- -D warnings

say "dependencies: one TLS stack"
ci/dependencies.sh

say "tests, and the end-to-end trials among them"
cargo test --workspace

say "a scenario with a fault must fail"
ci/fault.sh

say "every scenario with every fault"
ci/faults.sh

if [ "$(id -u)" -eq 0 ]; then
  say "end-to-end trials as an unprivileged user"
  ci/unprivileged.sh
fi
