//! See `plumb_fuzz::agent_line`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| plumb_fuzz::agent_line(bytes));
