//! The configuration: any text is taken over or told of. What holds is in crates/puerto/src/config/fuzz.rs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| puerto::fuzz::configuration(text));
