#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| carbontracker_fuzz::csv::check(data));
