//! The agent protocol: any line is a request, a blank, or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let _ = plumb_agent::parse_line(line);
});
