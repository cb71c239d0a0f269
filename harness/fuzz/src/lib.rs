//! The places where bytes come in that nobody vouches for, each as a function of bytes that must return, whatever they are.
//!
//! libFuzzer's programs (`fuzz_targets/`, run by `ci/fuzz.sh`) and the short run of every `cargo test` (`tests/fuzz.rs` of the root
//! package) call the same functions.

use plumb_core::mistakes::Paint;

/// A target.
pub type Target = fn(&[u8]);

/// Every target by its name, which is also its corpus folder's.
pub const TARGETS: [(&str, Target); 5] =
    [("scenario", scenario), ("agent_line", agent_line), ("frames", frames), ("run_folder", run_folder), ("api_request", api_request)];

/// Scenario and profile files: any text gives a value or its mistakes, and mistakes can be shown.
pub fn scenario(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(mistakes) = plumb_core::scenario::parse("fuzz.yaml", text) {
        assert!(!mistakes.list.is_empty(), "refused without a mistake");
        mistakes.render(Paint::Plain);
    }
    if let Err(mistakes) = plumb_core::profile::parse("fuzz.yaml", text) {
        mistakes.render(Paint::Ansi);
    }
}

/// The agent protocol: any line is a request, a blank, or refused.
pub fn agent_line(line: &[u8]) {
    let _ = plumb_agent::parse_line(line);
}

/// Frames, and capture files of both kinds.
pub fn frames(bytes: &[u8]) {
    plumb_core::frames::fuzz(bytes);
}

/// A run folder: plan and evidence, split at the first NUL, read and judged.
pub fn run_folder(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (plan, evidence) = bytes.split_at(at);
    let plan = std::str::from_utf8(plan).ok().and_then(|text| plumb_core::plan::read(text).ok());
    if let Ok(reading) = plumb_core::evidence::read(evidence.strip_prefix(&[0]).unwrap_or(evidence))
        && let Some(plan) = plan
    {
        plumb_core::verdict::judge(&plan, &reading.observations);
    }
}

/// The API's request path: any bytes are answered.
pub fn api_request(bytes: &[u8]) {
    plumb_refnet::api::fuzz_request(bytes);
}
