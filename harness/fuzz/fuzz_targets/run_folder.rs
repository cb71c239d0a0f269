//! A run folder: plan and evidence, split at the first NUL, read and judged.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (plan, evidence) = bytes.split_at(at);
    let plan = std::str::from_utf8(plan).ok().and_then(|text| plumb_core::plan::read(text).ok());
    if let Ok(reading) = plumb_core::evidence::read(evidence.strip_prefix(&[0]).unwrap_or(evidence))
        && let Some(plan) = plan
    {
        plumb_core::verdict::judge(&plan, &reading.observations);
    }
});
