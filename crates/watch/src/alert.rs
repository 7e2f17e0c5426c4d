//! Alerts: what is wrong now, and who is told of it.

mod notice;

pub use notice::{Alerted, Notice, Reason};
