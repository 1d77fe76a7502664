#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fapiao_fuzz::run("rows", data));
