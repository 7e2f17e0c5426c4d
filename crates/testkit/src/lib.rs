//! Drives the real binary in tests, and brings servers to point it at. A test starts what it needs, asks,
//! and compares; everything that was started ends with the value that stands for it.

#![allow(clippy::needless_pass_by_value, reason = "a test reads better with its JSON in place")]

pub mod collector;
pub mod http;
pub mod hub;
pub mod peers;
pub mod play;
pub mod postgres;
pub mod process;
pub mod prometheus;
pub mod secure;
pub mod smtp;
pub mod syslog;
pub mod web;

pub use hub::{Hub, Session};
pub use peers::{Fixture, heavy, hostile, odd, peer, pets, root, scripted, scripted_http};
pub use postgres::postgres;
pub use secure::Secure;
pub use smtp::MailServer;
pub use web::Web;

use std::time::Duration;

/// Longest wait for a condition. Generous: the machines that run tests are small and shared.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Waits until a condition gives a value. Fails the test, with what was waited for, when it never does.
#[allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the one place where a test waits: for a condition, with an end"
)]
pub fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
