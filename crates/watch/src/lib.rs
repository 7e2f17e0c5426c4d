//! The watch: events as they are reported, checks of services, and what follows from them. Knows no store and no axum.

pub mod alert;
pub mod anomaly;
pub mod check;
pub mod condition;
pub mod event;
pub mod health;
pub mod probe;
pub mod schedule;
pub mod slo;
pub mod syslog;
