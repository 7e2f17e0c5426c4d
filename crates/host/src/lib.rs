//! Works through task lists. A task is a call of a tool; it goes through the same operation as a call from
//! a client or over REST, with the same quotas and records.

mod list;
mod run;
pub mod schedule;

pub use list::{Invalid, Task, parse};
pub use run::{Done, Options, Summary, run};
