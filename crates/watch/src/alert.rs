//! Alerts: what is wrong now, and who is told of it.

mod book;
mod channel;
mod group;
mod hold;
mod judge;
mod matcher;
mod notice;
mod pipeline;
mod received;
mod retry;
mod route;
mod send;
mod signal;
mod simulate;
pub mod template;
#[cfg(test)]
mod tests;

pub use book::{Acknowledgement, Silence, Stage};
pub use channel::{Channel, Letter, Message, Request};
pub use group::NOTICE_ALERTS_MAX;
pub use hold::Held;
pub use judge::{SAMPLES_MAX, SERIES_MAX, STALE_MS, rules};
pub use matcher::Labels;
pub use notice::{Alerted, Notice, Reason};
pub use pipeline::{
    ALERTS_MAX, AlertView, GROUPS_MAX, LABELS_BYTES_MAX, News, Pipeline, REASON_LEN_MAX, Refused,
    SILENCES_MAX,
};
pub use received::{RECEIVED_MAX, Received, received};
pub use retry::{ATTEMPTS_MIN, GIVEN_UP, WAIT_MAX, retry};
pub use send::{Outcome, Sender};
pub use signal::{
    AnomalySignal, BurnSignal, EventSignal, ForeignSignal, MetricSignal, ServiceSignal, Signal,
};
pub use simulate::{Fault, MOMENTS_MAX, Moment, simulate};
