//! Tests that drive the real binary.
#![allow(missing_docs, clippy::unwrap_used)]

mod check;
