#!/usr/bin/env bash
# How long a lab of real Cilium takes to be ready, against the plain sequence (kind create cluster, kind load, cilium install, cilium
# status --wait) with the same parts in the same run: ci/kind-bench.sh [ROUNDS]. Parts come from the environment as for `plumb run`
# (PLUMB_KIND, PLUMB_CILIUM_CLI, PLUMB_NODE_IMAGE, PLUMB_CHART, PLUMB_IMAGES, PLUMB_CRDS, PLUMB_VALUES, PLUMB_CILIUM_VERSION); jq is needed.
# A round is the plain sequence, then ours with nothing unpacked before (cold), then ours with what that one unpacked (warm).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
rounds=${1:-1}
kind=${PLUMB_KIND:-kind} cilium=${PLUMB_CILIUM_CLI:-cilium}
: "${PLUMB_NODE_IMAGE:?} ${PLUMB_CHART:?} ${PLUMB_IMAGES:?} ${PLUMB_VALUES:?}"
work=$(mktemp -d)
name=plumb-bench-$$
cleanup() {
  "$kind" delete cluster --name "$name" --kubeconfig "$work/kubeconfig" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT
cargo build --quiet -p plumb
plumb=${CARGO_TARGET_DIR:-target}/debug/plumb
ms() { date +%s%3N; }
values=()
IFS=: read -ra files <<<"$PLUMB_VALUES"
for file in "${files[@]}"; do values+=(--values "$file"); done
cat >"$work/config.yaml" <<'Y'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {disableDefaultCNI: true, kubeProxyMode: "none"}
nodes: [{role: control-plane}, {role: worker}, {role: worker}]
Y
plain() {
  local began created loaded installed ready
  began=$(ms)
  "$kind" create cluster --name "$name" --image "$PLUMB_NODE_IMAGE" --config "$work/config.yaml" --kubeconfig "$work/kubeconfig" >"$work/log" 2>&1
  created=$(ms)
  for archive in "$PLUMB_IMAGES"/*.tar; do
    "$kind" load image-archive "$archive" --name "$name" >>"$work/log" 2>&1
  done
  loaded=$(ms)
  KUBECONFIG=$work/kubeconfig "$cilium" install --chart-directory "$PLUMB_CHART" "${values[@]}" \
    --set image.useDigest=false,operator.image.useDigest=false,envoy.image.useDigest=false >>"$work/log" 2>&1
  installed=$(ms)
  KUBECONFIG=$work/kubeconfig "$cilium" status --wait >>"$work/log" 2>&1
  ready=$(ms)
  "$kind" delete cluster --name "$name" --kubeconfig "$work/kubeconfig" >>"$work/log" 2>&1
  echo "plain create $((created - began)) load $((loaded - created)) install $((installed - loaded)) ready $((ready - installed)) all $((ready - began)) ms" >&2
  echo $((ready - began))
}
# Prints the milliseconds until the lab was ready, and says the phases and the most memory that plumb itself held.
ours() {
  local pid folder peak=0 now
  "$plumb" run weights-90-10 --provider kind --out "$work/runs" >>"$work/log" 2>&1 &
  pid=$!
  while now=$(awk '/^VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null) && [ -n "$now" ]; do
    peak=$now
    sleep 0.5
  done
  wait "$pid" || true
  folder=$(find "$work/runs" -mindepth 1 -maxdepth 1 | sort | tail -1)
  jq -rs --arg peak "$peak" '[.[] | select(.fact.lab?)][0] | "plumb \(.fact.lab.phasesMs) peak memory \($peak) KiB"' "$folder/evidence.jsonl" >&2
  jq -rs '[.[] | select(.fact.lab?)][0].atNs / 1000000 | floor' "$folder/evidence.jsonl"
}
# Whoever builds plumb from source builds the agent once, whatever lab is made first: no part of a lab.
"$plumb" images agent --name localhost/plumb-agent:bench "$work/agent.tar" >/dev/null 2>&1
ratio() { awk "BEGIN {printf \"%.2f\", $1 / $2}"; }
for round in $(seq "$rounds"); do
  one=$(plain)
  "$plumb" images forget >>"$work/log" 2>&1
  two=$(ours)
  three=$(ours)
  echo "round $round, load average $(cut -d' ' -f1 /proc/loadavg): plain $one ms, cold $two ms ($(ratio "$two" "$one")), warm $three ms ($(ratio "$three" "$one"))"
done
