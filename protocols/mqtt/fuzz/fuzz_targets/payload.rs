#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| linegate_mqtt_fuzz::targets::payload::run(input));
