//! Frames, and capture files of both kinds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| plumb_core::frames::fuzz(bytes));
