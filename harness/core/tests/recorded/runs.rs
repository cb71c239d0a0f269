//! Whole runs of this program on real kind clusters with real Cilium (folders by provider and version): plan and evidence as they were written, judged again.

use plumb_core::evidence::{self, Fact, Observation};
use plumb_core::plan::{self, Plan};
use plumb_core::verdict::{Outcome, Verdict, judge};

use super::{file, text};

/// The recordings, and what each says: the checks that are red with a part of the reason, or unknown with one after `unknown: `; every
/// other check is green.
const RUNS: &[(&str, &[(&str, &str)])] = &[
    ("kind-1.17.10/encrypt-matrix", &[]),
    // The same flows with `encryption.enabled=false`: every one crosses in the clear, but for the one within a node.
    (
        "kind-1.17.10/encrypt-matrix-without-encryption",
        &[
            ("pod-pod-hidden-at-worker", "payload readable inside VXLAN"),
            ("pod-pod-hidden-at-worker2", "payload readable inside VXLAN"),
            ("pod-pod-back-hidden-at-worker", "payload readable inside VXLAN"),
            ("pod-pod-back-hidden-at-worker2", "payload readable inside VXLAN"),
            ("pod-pod-control-hidden-at-worker", "payload readable inside VXLAN"),
            ("pod-node-hidden-at-worker", "payload in the clear"),
            ("pod-node-hidden-at-worker2", "payload in the clear"),
            ("pod-node-back-hidden-at-worker", "payload in the clear"),
            ("pod-node-back-hidden-at-worker2", "payload in the clear"),
            ("node-pod-hidden-at-worker", "payload readable inside VXLAN"),
            ("node-pod-hidden-at-worker2", "payload readable inside VXLAN"),
            ("node-pod-back-hidden-at-worker", "payload readable inside VXLAN"),
            ("node-pod-back-hidden-at-worker2", "payload readable inside VXLAN"),
            ("node-node-hidden-at-worker", "payload in the clear"),
            ("node-node-hidden-at-worker2", "payload in the clear"),
            ("node-node-back-hidden-at-worker", "payload in the clear"),
            ("node-node-back-hidden-at-worker2", "payload in the clear"),
        ],
    ),
    ("kind-1.17.10/encrypt-pods-only", &[]),
    // Node encryption was on, so what the document says of a flag set without it is not true, and the run says so.
    (
        "kind-1.17.10/encrypt-pods-only-with-node-encryption",
        &[
            ("node-to-node-in-the-clear", "0 frames with the payload on eth0"),
            ("node-to-node-back-in-the-clear", "0 frames with the payload on eth0"),
            ("pod-to-node-in-the-clear", "0 frames with the payload on eth0"),
        ],
    ),
    ("kind-1.17.10/l2-announce", &[]),
    ("kind-1.17.10/l2-failover", &[]),
    ("kind-1.17.10/l2-pause", &[]),
    ("kind-1.17.10/tls-passthrough", &[]),
    ("kind-1.17.10/tls-terminate", &[]),
    // The limit was 5 s, and a Gateway without an HTTP listener listens after 30.
    (
        "kind-1.17.10/tls-passthrough-within-5s",
        &[
            ("serves", "not within 5s"),
            ("end-to-end", "refused during connect"),
            ("through-the-other-node", "refused during connect"),
            ("unknown-name-refused", "refused during connect"),
        ],
    ),
    ("kind-1.17.10/weights-90-10", &[]),
    // The release that the document names, on a machine at load 30.
    ("kind-1.17.1/encrypt-matrix", &[]),
    ("kind-1.17.1/tls-passthrough", &[]),
    ("kind-1.17.1/tls-terminate", &[]),
    ("kind-1.17.1/weights-90-10", &[]),
    // The same scenario with a route that says 85 to 15.
    (
        "kind-1.17.1/weights-90-10-with-85-15",
        &[
            ("share-on-worker", "echo-1 got 1722, 1731 to 1862 of 2000 fit"),
            ("share-on-worker2", "echo-1 got 1679, 1731 to 1862 of 2000 fit"),
            ("share-kept-alive", "echo-1 got 1718, 1731 to 1862 of 2000 fit"),
        ],
    ),
    ("kind-1.17.1/api-pause", &[]),
    // On one cluster, whose node encryption was switched off and on again in place.
    ("kind-1.17.1/encrypt-pods-only-changed-in-place", &[]),
    ("kind-1.17.1/encrypt-leaving-pod-changed-in-place", &[]),
    ("kind-1.16.2/l2-announce", &[]),
    ("kind-1.16.2/l2-pause", &[]),
    ("kind-1.16.2/l2-link-down", &[]),
    ("kind-1.16.2/l2-agent-restart", &[]),
    // An agent that cannot renew gives its lease back before it stops announcing, and in 1.16 without a limit (client-go 0.30, `release`):
    // while the API drops its packets it goes on to answer beside its successor.
    (
        "kind-1.16.2/l2-api-cut",
        &[("new-holder-answers", "2 MAC addresses answer, expected 1"), ("old-holder-stays-silent", "2 MAC addresses answer, expected 1")],
    ),
    // To 1.17.1.
    ("kind-1.16.2/upgrade-keeps-traffic", &[]),
    // The cut with 1.17.1, whose client-go gives the lease back within the renew deadline.
    ("kind-1.17.1/l2-api-cut", &[]),
    // With today's watches, which last until the Service is served again.
    ("kind-1.17.1/l2-agent-restart", &[]),
    ("kind-1.17.1/l2-link-down", &[]),
    ("kind-1.17.1/l2-pause", &[]),
    ("kind-1.20.0-dev/gateway-needs-address", &[]),
    ("kind-1.20.0-dev/encrypt-matrix", &[]),
    ("kind-1.20.0-dev/encrypt-pods-only-changed-in-place", &[]),
    ("kind-1.20.0-dev/weights-90-10", &[]),
    ("kind-1.20.0-dev/tls-terminate", &[]),
    // One listener's `certificateRefs` name another Secret, with a certificate of the same authority for the same host.
    (
        "kind-1.20.0-dev/tls-terminate-with-another-certificate",
        &[("bookinfo-terminated", "served leaf is not that of `demo`: that of `other`")],
    ),
    // A Service that is there before the policy and the pool gets its address, and nobody takes its lease until the Service is touched: a
    // fault of that state of main, which the 1.16 and 1.17 releases above do not have.
    (
        "kind-1.20.0-dev/l2-announce",
        &[
            ("lease-held", "nobody holds the lease"),
            ("serves", "timeout during connect"),
            ("announced-once", "0 gratuitous ARP frames"),
            ("holder-answers-on-net0", "nobody answers ARP on net0"),
            ("nobody-answers-on-eth0", "unknown: no other ARP question was answered in this run"),
        ],
    ),
    // Adopted: a cluster that `plumb up` had made.
    ("kubeconfig-1.17.1/encrypt-matrix", &[]),
    ("kubeconfig-1.17.1/encrypt-leaving-pod", &[]),
    // The machine of the run was the outside client.
    ("kubeconfig-1.17.1/tls-terminate-client-here", &[]),
    ("kubeconfig-1.17.1/tls-passthrough-client-here", &[]),
    ("kubeconfig-1.17.1/weights-90-10-client-here", &[]),
    // And had an address in the second network's subnet; which network that is and what is free there was said by `--network`.
    ("kubeconfig-1.17.1/l2-announce-client-here", &[]),
    // Without the variant of real Cilium: a Gateway that says Programmed and refuses connections for its first 30 seconds.
    (
        "kubeconfig-1.17.1/tls-passthrough-within-5s",
        &[
            ("serves", "not within 5s: failed: refused during connect"),
            ("end-to-end", "failed: refused during connect"),
            ("through-the-other-node", "failed: refused during connect"),
            ("unknown-name-refused", "failed in another way: refused during connect"),
        ],
    ),
];

fn recorded(name: &str) -> (Plan, Vec<Observation>) {
    let plan = plan::read(&text(&format!("{name}/plan.json"))).unwrap();
    let reading = evidence::read(&file(&format!("{name}/evidence.jsonl"))).unwrap();
    assert_eq!(reading.trouble, None, "{name}");
    (plan, reading.observations)
}

/// The run without the facts that `drop` says.
fn without(name: &str, drop: impl Fn(&Fact) -> bool) -> Verdict {
    let (plan, observations) = recorded(name);
    let left: Vec<Observation> = observations.iter().filter(|observation| !drop(&observation.fact)).cloned().collect();
    assert!(left.len() < observations.len(), "{name} has no such fact");
    judge(&plan, &left)
}

#[test]
fn every_run_is_judged_as_it_was() {
    for (name, red) in RUNS {
        let (plan, observations) = recorded(name);
        let verdict = judge(&plan, &observations);
        let expected = if red.is_empty() { Outcome::Pass } else { Outcome::Fail };
        assert_eq!(verdict.outcome, expected, "{name}: {verdict:#?}");
        let (provider, version) = name.split_once('/').and_then(|(folder, _)| folder.split_once('-')).unwrap();
        let system = match provider {
            "kubeconfig" => format!("Cilium v{version} on Kubernetes"),
            kind => format!("Cilium {version} on {kind}"),
        };
        assert!(verdict.system.starts_with(&system), "{name}: {}", verdict.system);
        for check in &verdict.checks {
            let expected = red.iter().find(|(id, _)| *id == check.id).map_or((Outcome::Pass, ""), |(_, because)| {
                because.strip_prefix("unknown: ").map_or((Outcome::Fail, *because), |because| (Outcome::Unknown, because))
            });
            assert!(check.outcome == expected.0 && check.because.contains(expected.1), "{name}: {check:#?}");
        }
    }
}

#[test]
fn a_run_that_is_cut_anywhere_never_passes() {
    for (name, _) in RUNS.iter().filter(|(_, red)| red.is_empty()) {
        let (plan, _) = recorded(name);
        let bytes = file(&format!("{name}/evidence.jsonl"));
        let whole = bytes.trim_ascii_end().len();
        for cut in (0..whole).step_by(1_009) {
            let reading = evidence::read(&bytes[..cut]).unwrap();
            assert_ne!(judge(&plan, &reading.observations).outcome, Outcome::Pass, "{name} cut at {cut}");
        }
    }
}

#[test]
fn without_its_captures_nothing_is_hidden() {
    let verdict = without("kind-1.17.10/encrypt-matrix", |fact| matches!(fact, Fact::Capture(_)));
    assert_ne!(verdict.outcome, Outcome::Pass);
    let hidden: Vec<_> = verdict.checks.iter().filter(|check| check.id.contains("-hidden-")).collect();
    assert!(!hidden.is_empty() && hidden.iter().all(|check| check.outcome == Outcome::Unknown), "{hidden:#?}");
}

#[test]
fn without_its_probes_no_run_passes() {
    for (name, _) in RUNS.iter().filter(|(_, red)| red.is_empty()) {
        let verdict = without(name, |fact| matches!(fact, Fact::Probe(_)));
        assert_ne!(verdict.outcome, Outcome::Pass, "{name}");
    }
}

#[test]
fn no_recording_holds_a_private_key() {
    for (name, _) in RUNS {
        for part in ["plan.json", "evidence.jsonl"] {
            assert!(!text(&format!("{name}/{part}")).contains("PRIVATE KEY"), "{name}/{part}");
        }
    }
}
