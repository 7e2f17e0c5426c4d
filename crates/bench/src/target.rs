//! A service that is well: what checks are measured against. It counts the checks of each path, and knows how far they
//! come from the times that they are due at.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::Instant;

use crate::Result;

/// Where it tells what it has seen.
pub(crate) const SEEN: &str = "/seen";

#[derive(Args)]
pub(crate) struct Options {
    /// The time from one check of a path to the next, in milliseconds.
    #[arg(long, default_value_t = 1000)]
    every: u64,
}

/// What was seen of one path.
struct Path {
    first: Instant,
    last: Instant,
    count: u32,
}

impl Path {
    /// How much later than due the last check came, measured from the first one; below zero where it was early.
    fn drift_us(&self, every: Duration) -> i64 {
        let took = (self.last - self.first).as_micros();
        let due = (every * (self.count - 1)).as_micros();
        i64::try_from(took).unwrap_or(i64::MAX).saturating_sub(i64::try_from(due).unwrap_or(i64::MAX))
    }
}

#[derive(Clone, Default)]
struct Seen(Arc<Mutex<HashMap<String, Path>>>);

impl Seen {
    fn paths(&self) -> MutexGuard<'_, HashMap<String, Path>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn visit(&self, path: &str) {
        let now = Instant::now();
        let mut paths = self.paths();
        if let Some(path) = paths.get_mut(path) {
            (path.last, path.count) = (now, path.count + 1);
        } else {
            paths.insert(path.to_owned(), Path { first: now, last: now, count: 1 });
        }
    }

    fn told(&self, every: Duration) -> String {
        let paths = self.paths();
        let mut drift: Vec<i64> = paths.values().map(|path| path.drift_us(every)).collect();
        drift.sort_unstable();
        let at = |share: f64| drift.get(((drift.len() as f64 * share) as usize).min(drift.len().max(1) - 1));
        let checks: u64 = paths.values().map(|path| u64::from(path.count)).sum();
        json!({"checks": checks, "paths": paths.len(), "drift_us": at(0.5), "drift_p99_us": at(0.99)})
            .to_string()
    }
}

pub(crate) async fn serve(options: Options) -> Result<()> {
    let every = Duration::from_millis(options.every);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening http://{}/", listener.local_addr()?);
    let seen = Seen::default();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = seen.clone();
        tokio::spawn(async move {
            let service = service_fn(|request: Request<_>| {
                let text = if request.uri().path() == SEEN {
                    seen.told(every)
                } else {
                    seen.visit(request.uri().path());
                    "ok".to_owned()
                };
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(text)))) }
            });
            // A client that goes away is no news.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_measured_from_the_first_check() {
        let first = Instant::now();
        let path = |count, millis| Path { first, last: first + Duration::from_millis(millis), count };
        let every = Duration::from_secs(10);
        assert_eq!(path(1, 0).drift_us(every), 0);
        assert_eq!(path(3, 20_004).drift_us(every), 4_000);
        assert_eq!(path(3, 19_999).drift_us(every), -1_000);
    }
}
