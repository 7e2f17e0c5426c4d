//! Requests that are none of MCP: one, or as many as are answered, in a closed loop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use hyper::Uri;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::GRACE;
use super::connection::Connection;
use super::stats::percentile;
use crate::{Result, process};

/// What came of many requests. Times are in microseconds.
pub(crate) struct Rate {
    /// Requests that were answered well.
    pub(crate) answered: u64,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU time of the measured processes for each of them.
    pub(crate) cpu_us: f64,
}

/// Makes the request of this number on this connection.
pub(crate) type Make = Arc<dyn Fn(usize, u64) -> Vec<u8> + Send + Sync>;

/// A request with a body, or with none, as it goes over the wire.
pub(crate) fn request(url: &Uri, method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
    let host = url.authority().map_or("", |authority| authority.as_str());
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Asks once, and reads the answer as JSON.
pub(crate) async fn ask(url: &Uri, path: &str) -> Result<Value> {
    let once = async {
        let mut connection = Connection::open(url).await?;
        connection.send(&request(url, "GET", path, "application/json", "")).await?;
        let answer = connection.receive().await?;
        if answer.status != 200 {
            return Err(format!("GET {path} was answered with {answer}").into());
        }
        Ok(serde_json::from_slice(answer.body)?)
    };
    timeout(GRACE, once).await.map_err(|_| format!("GET {path} was not answered within {GRACE:?}"))?
}

/// Sends requests on each connection, the next when the one before is answered, for a time.
pub(crate) async fn repeat(
    url: &Uri,
    connections: usize,
    window: Duration,
    pids: &[u32],
    make: Make,
) -> Result<Rate> {
    let is_over = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let connection = Connection::open(url).await?;
        workers.spawn(work(connection, number, make.clone(), is_over.clone()));
    }
    let (started, cpu) = (Instant::now(), process::cpu(pids)?);
    sleep(window).await;
    is_over.store(true, Relaxed);
    let mut nanoseconds = Vec::new();
    let answers = async {
        while let Some(worker) = workers.join_next().await {
            nanoseconds.extend(worker??);
        }
        Ok::<_, crate::Error>(())
    };
    timeout(GRACE, answers).await.map_err(|_| "requests went unanswered")??;
    let (seconds, cpu) = (started.elapsed().as_secs_f64(), process::cpu(pids)?.saturating_sub(cpu));
    nanoseconds.sort_unstable();
    let answered = nanoseconds.len() as u64;
    Ok(Rate {
        answered,
        per_second: answered as f64 / seconds,
        p50_us: percentile(&nanoseconds, 50.0) as f64 / 1e3,
        p99_us: percentile(&nanoseconds, 99.0) as f64 / 1e3,
        cpu_us: cpu.as_secs_f64() * 1e6 / answered.max(1) as f64,
    })
}

/// Requests of one connection; how long each took.
async fn work(
    mut connection: Connection,
    number: usize,
    make: Make,
    is_over: Arc<AtomicBool>,
) -> Result<Vec<u64>> {
    let mut nanoseconds = Vec::new();
    while !is_over.load(Relaxed) {
        let request = make(number, nanoseconds.len() as u64);
        let started = Instant::now();
        connection.send(&request).await?;
        let answer = connection.receive().await?;
        if !(200..300).contains(&answer.status) {
            return Err(format!("a request was answered with {answer}").into());
        }
        nanoseconds.push(u64::try_from(started.elapsed().as_nanos())?);
    }
    Ok(nanoseconds)
}
