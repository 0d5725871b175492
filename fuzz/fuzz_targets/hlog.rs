#![no_main]

#[path = "../../tests/it/fuzz/laws.rs"]
#[expect(dead_code, reason = "each target checks one law")]
mod laws;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| laws::hlog(bytes));
