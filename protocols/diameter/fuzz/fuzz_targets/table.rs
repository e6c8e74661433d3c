#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| linegate_diameter_fuzz::targets::table::run(input));
