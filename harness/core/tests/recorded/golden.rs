//! A run folder of format 1, as this program wrote it: later programs must read it and judge it the same.

use plumb_core::evidence;
use plumb_core::plan::Plan;
use plumb_core::verdict::{NOT_CILIUM, Outcome, judge};

use super::file;

#[test]
fn a_run_folder_of_format_1_is_judged_as_it_was() {
    let plan: Plan = serde_json::from_slice(&file("refnet-tls-passthrough/plan.json")).unwrap();
    let bytes = file("refnet-tls-passthrough/evidence.jsonl");
    let reading = evidence::read(&bytes).unwrap();
    assert_eq!(reading.trouble, None);
    let verdict = judge(&plan, &reading.observations);
    assert_eq!((verdict.outcome, verdict.troubles.len(), verdict.checks.len()), (Outcome::Pass, 0, 4), "{verdict:#?}");
    assert!(verdict.system.starts_with(NOT_CILIUM));
    let end_to_end = verdict.checks.iter().find(|check| check.id == "end-to-end").unwrap();
    assert!(end_to_end.because.contains("the same session at the backend"), "{end_to_end:#?}");
    assert!(end_to_end.evidence.iter().any(|file| file.ends_with("second-hop.pcapng")), "{end_to_end:#?}");
}

#[test]
fn the_same_folder_cut_anywhere_never_passes() {
    let plan: Plan = serde_json::from_slice(&file("refnet-tls-passthrough/plan.json")).unwrap();
    let bytes = file("refnet-tls-passthrough/evidence.jsonl");
    let whole = bytes.len() - bytes.iter().rev().take_while(|byte| **byte == b'\n').count();
    for cut in (0..whole).step_by(97) {
        let reading = evidence::read(&bytes[..cut]).unwrap();
        assert_eq!(judge(&plan, &reading.observations).outcome, Outcome::Unknown, "cut at {cut}");
    }
}
