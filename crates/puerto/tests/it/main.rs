//! Tests that drive the real binary.
#![allow(missing_docs, clippy::unwrap_used)]
#![allow(clippy::needless_pass_by_value, reason = "a test reads best with json!(...) as an argument")]

mod check;
mod clients;
mod config;
mod conformance;
mod lifecycle;
mod openapi;
mod rest;
mod servers;
mod tenants;
mod tidy;
mod wire;

/// The binary under test.
const PUERTO: &str = env!("CARGO_BIN_EXE_puerto");
