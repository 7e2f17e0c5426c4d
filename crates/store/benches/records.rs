//! What a record costs: CPU of the whole process for each row, handed over one by one, in small and in
//! full batches. Prints one table; run by `cargo bench -p puerto-store`, never by the tests.
#![allow(clippy::print_stdout, clippy::disallowed_types, clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use puerto_core::record::{Kind, Outcome, Record};
use puerto_core::trace::Trace;
use puerto_core::{RequestId, TenantId};
use puerto_store::{Recent, Scope, Store};

const ROWS: usize = 60_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let dir = tempfile::tempdir().unwrap();
    println!("{:>6} {:>12} {:>12} {:>9} {:>6}", "batch", "cpu us/row", "wall us/row", "commits", "lost");
    for batch in [1, 8, 64, 512] {
        let store = Store::open(&format!("sqlite://{batch}.db"), dir.path()).unwrap();
        let made: Vec<Vec<Record>> = (0..ROWS / batch).map(|_| (0..batch).map(record).collect()).collect();
        let (cpu, wall) = (cpu_time(), Instant::now());
        for rows in made {
            store.records_append(rows);
        }
        store.flush().await.unwrap();
        let rows = (ROWS / batch * batch) as f64;
        let cpu = (cpu_time() - cpu).as_secs_f64() * 1e6 / rows;
        let wall = wall.elapsed().as_secs_f64() * 1e6 / rows;
        println!("{batch:>6} {cpu:>12.2} {wall:>12.2} {:>9} {:>6}", store.commits(), store.lost());
    }
    paced(dir.path()).await;
    filled(dir.path()).await;
}

/// As a hub at 5,000 calls a second hands them over: five every millisecond.
async fn paced(dir: &Path) {
    let store = Store::open("sqlite://paced.db", dir).unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    let idle = cpu_time();
    for _ in 0..2_000 {
        ticks.tick().await;
    }
    let idle = cpu_time() - idle;
    let mut made: Vec<Vec<Record>> = (0..2_000).map(|_| (0..5).map(record).collect()).collect();
    let cpu = cpu_time();
    for _ in 0..2_000 {
        ticks.tick().await;
        store.records_append(made.pop().unwrap());
    }
    store.flush().await.unwrap();
    let cpu = (cpu_time() - cpu).saturating_sub(idle).as_secs_f64() * 1e6 / 10_000.0;
    println!("paced, 5,000 rows/s: {cpu:.2} cpu us/row, {} commits", store.commits());
}

/// What a row takes on disk, and what a page of the newest costs to read.
async fn filled(dir: &Path) {
    let store = Store::open("sqlite://filled.db", dir).unwrap();
    for _ in 0..4 {
        store.records_append((0..ROWS).map(record).collect());
        store.flush().await.unwrap();
    }
    store.close().await.unwrap();
    let size = std::fs::metadata(dir.join("filled.db")).unwrap().len();
    let store = Store::open("sqlite://filled.db", dir).unwrap();
    let scope = Scope::tenant(TenantId::default());
    for limit in [100, 100, 100] {
        let began = Instant::now();
        let rows = store.records_recent(&scope, Recent { limit, ..Recent::default() }).await.unwrap();
        println!("read {} newest of {}: {:?}", rows.len(), 4 * ROWS, began.elapsed());
    }
    println!("bytes a row: {}", size / (4 * ROWS as u64));
}

fn record(n: usize) -> Record {
    let text = |text: &str| -> Arc<str> { text.into() };
    Record {
        at: SystemTime::now(),
        request: RequestId::next(),
        trace: Trace::start(),
        kind: Kind::Mcp("tools/call".into()),
        tenant: text("default"),
        caller: text("local"),
        client: Some(text("claude-desktop/1.4.2")),
        protocol: Some("2025-11-25"),
        server: Some(text("monitor")),
        object: Some(text("get_metrics")),
        outcome: Outcome::Ok,
        duration: Duration::from_micros(350 + n as u64),
        bytes_in: 180,
        bytes_out: 4_096,
        detail: None,
    }
}

/// CPU time of all threads, in nanoseconds from Linux's scheduler; zero elsewhere.
fn cpu_time() -> Duration {
    let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let of_thread = |path: std::path::PathBuf| -> Option<u64> {
        std::fs::read_to_string(path.join("schedstat")).ok()?.split_whitespace().next()?.parse().ok()
    };
    Duration::from_nanos(threads.filter_map(|thread| of_thread(thread.ok()?.path())).sum())
}
