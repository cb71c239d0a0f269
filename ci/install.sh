#!/usr/bin/env bash
# Installs the Debian packages the tests talk to, when they are missing: kubectl, tcpdump and libfaketime; with PLUMB_BENCH=1 also wrk, which
# the benchmarks compare with. Tests without them are ignored, benchmarks say so.
set -euo pipefail
missing=()
command -v kubectl >/dev/null || missing+=(kubernetes-client)
command -v tcpdump >/dev/null || missing+=(tcpdump)
compgen -G "/usr/lib/*/faketime/libfaketimeMT.so.1" >/dev/null || missing+=(libfaketime)
[ -z "${PLUMB_BENCH:-}" ] || command -v wrk >/dev/null || missing+=(wrk)
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "ci/install.sh: not root, going on without: ${missing[*]}" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${missing[@]}"
