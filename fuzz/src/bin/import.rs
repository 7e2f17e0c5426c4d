//! Files of other programs, as `puerto import` reads them (JSON with comments, TOML), and how they are written into a
//! configuration. What holds is in crates/puerto/src/command/import/fuzz.rs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| puerto::fuzz::import(text));
