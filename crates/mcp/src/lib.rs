//! MCP on the wire: envelope, eras, doors, upstreams, catalog, names.
//!
//! The data path of Puerto. It knows no store and no axum: the binary hands bytes in and carries
//! bytes away.

pub mod adopt;
pub mod builtin;
pub mod call;
pub mod catalog;
pub mod cursor;
pub mod digest;
pub mod door;
pub mod era;
pub mod frame;
pub mod headers;
pub mod hub;
pub mod lines;
pub mod list;
pub mod meter;
pub mod names;
pub mod offer;
pub mod operate;
pub mod route;
pub mod scan;
pub mod search;
pub mod session;
pub mod shape;
pub mod sse;
pub mod tenant;
pub mod upstream;
pub mod wire;
