#![no_main]
//! See `targets::ranges`.

#[path = "../targets.rs"]
#[allow(dead_code, reason = "the other targets")]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::ranges(data));
