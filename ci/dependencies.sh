#!/usr/bin/env bash
# There is one TLS stack, rustls with ring, and no C library of another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
for crate in aws-lc-rs aws-lc-sys openssl-sys native-tls; do
  if cargo tree --workspace --edges normal,build --invert "$crate" 2>/dev/null | grep -q .; then
    echo "ci/dependencies.sh: $crate is in the tree" >&2
    exit 1
  fi
done
echo "none of aws-lc-rs, aws-lc-sys, openssl-sys, native-tls"
