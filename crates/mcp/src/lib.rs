//! MCP on the wire: envelope, eras, doors, upstreams, catalog, names.
//!
//! The data path of Puerto. It knows no store and no axum: the binary hands bytes in and carries
//! bytes away.

pub mod builtin;
pub mod catalog;
pub mod era;
pub mod frame;
pub mod headers;
pub mod names;
pub mod offer;
pub mod scan;
pub mod sse;
pub mod upstream;
pub mod wire;
