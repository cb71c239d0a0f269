#!/usr/bin/env bash
# Every check of the project: form, lints, all tests as this user, and the end-to-end trials once more as an unprivileged user.
# PLUMB_INSTALL=1 also installs what the tests talk to (ci/install.sh). What can, happens while the tests are built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Here the reference network must be there: its trials are not ignored, they fail.
export PLUMB_REQUIRE=refnet
# Everything is built once here: what the compiler would keep for the next time is a third of the disk.
export CARGO_INCREMENTAL=0

say() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

logs=$(mktemp -d)
trap 'jobs -p | xargs -r kill 2>/dev/null || true; rm -rf "$logs"' EXIT
aside() { # name, command: in the background, heard of by `hear name`
  local name=$1
  shift
  { "$@" >"$logs/$name" 2>&1 && echo 0 >"$logs/$name.status" || echo $? >"$logs/$name.status"; } &
  eval "pid_$name=$!"
}
hear() { # waits for it, shows what it said, and fails as it failed
  local pid=pid_$1
  wait "${!pid}"
  cat "$logs/$1"
  return "$(cat "$logs/$1.status")"
}

say "form"
cargo fmt --all --check

say "dependencies: one TLS stack"
ci/dependencies.sh

# Lints compile to metadata of their own, so they share nothing with the tests but the processors, and one alone does not keep those busy.
aside lints env CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/lints" cargo clippy --workspace --all-targets -- -D warnings
[ -z "${PLUMB_INSTALL:-}" ] || aside install ci/install.sh
say "building the tests"
cargo test --workspace --no-run

say "lints"
hear lints
[ -z "${PLUMB_INSTALL:-}" ] || hear install

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
say "done"
