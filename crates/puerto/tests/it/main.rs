//! Tests that drive the real binary.
#![allow(missing_docs, clippy::unwrap_used, clippy::needless_pass_by_value)]

mod alerts;
mod apps;
mod archive;
mod audit;
mod browser;
mod check;
mod clients;
mod config;
mod conformance;
mod copies;
mod docs;
mod events;
mod hostile;
mod lifecycle;
mod metrics;
mod openapi;
mod openapi_tools;
mod overrides;
mod reload;
mod rest;
mod search;
mod servers;
mod services;
mod services_api;
mod setup;
mod sharing;
mod status_page;
mod supervision;
mod tasks;
mod telemetry;
mod tenants;
mod texts;
mod tidy;
mod transports;
mod wire;

/// The binary under test.
const PUERTO: &str = env!("CARGO_BIN_EXE_puerto");
