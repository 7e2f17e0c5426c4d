//! Messages of pages on `/ws/app`. What holds is in crates/puerto/src/http/apps/socket/fuzz.rs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| puerto::fuzz::app(text));
