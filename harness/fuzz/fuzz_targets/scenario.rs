//! Scenario and profile files: any text gives a value or its mistakes, and mistakes can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plumb_core::mistakes::Paint;

fuzz_target!(|text: &str| {
    if let Err(mistakes) = plumb_core::scenario::parse("fuzz.yaml", text) {
        assert!(!mistakes.list.is_empty());
        mistakes.render(Paint::Plain);
    }
    if let Err(mistakes) = plumb_core::profile::parse("fuzz.yaml", text) {
        mistakes.render(Paint::Ansi);
    }
});
