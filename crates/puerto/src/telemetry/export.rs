//! Sends spans, many at once.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use super::resource::Service;
use super::send::Sender;
use super::span::{self, Span};

/// Spans of one request: some 300 KB.
const SPANS_AT_ONCE: usize = 512;
/// How long the first of them waits for company.
const COMPANY: Duration = Duration::from_secs(1);

/// What gathers spans for requests.
pub(super) struct Exporter {
    pub(super) from: mpsc::Receiver<Span>,
    pub(super) sender: Sender,
    pub(super) service: Service,
}

impl Exporter {
    /// Runs until nobody takes spans any more and all of them were sent.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::new();
        while self.from.recv_many(&mut batch, SPANS_AT_ONCE).await > 0 {
            let until = Instant::now() + COMPANY;
            while batch.len() < SPANS_AT_ONCE {
                let room = SPANS_AT_ONCE - batch.len();
                match timeout_at(until, self.from.recv_many(&mut batch, room)).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            let (body, count) = (span::request(&self.service, &batch), batch.len() as u64);
            batch.clear();
            self.sender.deliver(body.into(), count).await;
        }
    }
}
