//! Replies of any bytes.
#![no_main]

#[allow(dead_code, reason = "another target uses the rest")]
#[path = "../../crates/smtp/tests/fuzzing/body.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::replies(data));
