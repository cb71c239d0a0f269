//! The API's request path: any bytes are answered.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| plumb_refnet::api::fuzz_request(bytes));
