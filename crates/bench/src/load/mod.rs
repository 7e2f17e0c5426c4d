//! A load generator: a closed loop over keep-alive connections, every answer checked.
//!
//! One wrong answer fails the whole measurement: a proxy that drops work would look fast otherwise.
//! Sockets and HTTP are by hand, so that the generator leaves the machine to what is measured.

mod check;
mod connection;
mod line;
mod request;
mod response;
pub(crate) mod rest;
pub(crate) mod sessions;
mod stats;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use clap::{Args, ValueEnum};
use hyper::Uri;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::{Error, Result, process};
use check::Checker;
use line::Line;
pub(crate) use line::Way;
pub(crate) use request::Era;
use request::Requests;
pub(crate) use stats::{Report, median};

/// The most connections at once: ids of a connection must not reach those of the next.
const CONNECTIONS_MAX: usize = 128;
/// How long a measurement may take beyond its window before it counts as stuck.
const GRACE: Duration = Duration::from_secs(30);
/// How long the end of a session may take.
const END: Duration = Duration::from_secs(2);
/// More pages than any list of ours has.
const PAGES_MAX: usize = 1000;

#[derive(Args)]
pub(crate) struct Options {
    /// The endpoint to call.
    #[arg(long)]
    url: Uri,
    /// What is called.
    #[arg(long, value_enum, default_value_t = Scenario::Call)]
    scenario: Scenario,
    /// The protocol era to speak.
    #[arg(long, value_enum, default_value_t = Era::Modern)]
    era: Era,
    /// The way in; those but Streamable HTTP are for the legacy era.
    #[arg(long, value_enum, default_value_t = Way::Streamable)]
    way: Way,
    /// How many connections call at once.
    #[arg(short = 'c', long, default_value_t = 16)]
    connections: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How long to call before measuring.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// The tool to call, if it is not named as the scenario says (echo, payload, sink).
    #[arg(long)]
    tool: Option<String>,
    /// The size of the answer (payload) or of the argument (argument).
    #[arg(long, default_value_t = 262_144)]
    bytes: usize,
    /// How many tools a list must have; without it, as many as the first one has.
    #[arg(long)]
    expect: Option<usize>,
    /// A process to measure meanwhile; may be repeated.
    #[arg(long)]
    pid: Vec<u32>,
    /// Measure the children of these processes too.
    #[arg(long)]
    children: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// `echo` with a short text.
    Call,
    /// A large answer.
    Payload,
    /// A large argument.
    Argument,
    /// The whole list of tools, all its pages.
    List,
}

/// What to call, where, and for how long.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) url: Uri,
    pub(crate) scenario: Scenario,
    pub(crate) era: Era,
    pub(crate) way: Way,
    pub(crate) connections: usize,
    pub(crate) window: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) tool: String,
    pub(crate) bytes: usize,
    pub(crate) expect: Option<usize>,
}

impl Scenario {
    /// The tool of our upstream that this scenario calls.
    pub(crate) fn tool(self) -> &'static str {
        match self {
            Scenario::Call => "echo",
            Scenario::Payload => "payload",
            Scenario::Argument => "sink",
            Scenario::List => "",
        }
    }
}

pub(crate) async fn main(options: Options) -> Result<()> {
    let plan = Plan {
        tool: options.tool.unwrap_or_else(|| options.scenario.tool().to_owned()),
        url: options.url,
        scenario: options.scenario,
        era: options.era,
        way: options.way,
        connections: options.connections,
        window: Duration::try_from_secs_f64(options.seconds)?,
        warm_up: Duration::try_from_secs_f64(options.warm_up)?,
        bytes: options.bytes,
        expect: options.expect,
    };
    let pids = if options.children { process::with_children(&options.pid) } else { options.pid };
    let report = measure(&plan, &pids).await?;
    match options.json {
        true => println!("{}", serde_json::to_string_pretty(&report)?),
        false => println!("{report}"),
    }
    Ok(())
}

/// Calls as planned and reports; `pids` are the processes whose CPU time and memory are read.
pub(crate) async fn measure(plan: &Plan, pids: &[u32]) -> Result<Report> {
    if !(1..=CONNECTIONS_MAX).contains(&plan.connections) {
        return Err(format!("connections must be 1 to {CONNECTIONS_MAX}").into());
    }
    timeout(plan.warm_up + plan.window + GRACE, measure_unbounded(plan, pids))
        .await
        .map_err(|_| "calls went unanswered: the measurement did not end in time")?
}

async fn measure_unbounded(plan: &Plan, pids: &[u32]) -> Result<Report> {
    let shared = Arc::new(Shared::default());
    let mut workers = JoinSet::new();
    for number in 0..plan.connections {
        let worker = Worker::connect(plan, number).await?;
        workers.spawn(worker.work(Arc::clone(&shared)));
    }
    let window = async {
        sleep(plan.warm_up).await;
        let peak_known = pids.is_empty() || process::reset_peak(pids).is_ok();
        shared.measuring.store(true, Relaxed);
        let (started, cpu) = (Instant::now(), process::cpu(pids)?);
        sleep(plan.window).await;
        // The clock, the CPU time and the count are read at one moment, between two calls.
        shared.measuring.store(false, Relaxed);
        let cpu = process::cpu(pids)?.saturating_sub(cpu);
        let (seconds, calls) = (started.elapsed().as_secs_f64(), shared.calls.load(Relaxed));
        shared.done.store(true, Relaxed);
        Ok::<_, Error>((seconds, calls, cpu, peak_known))
    };
    let answers = async {
        let mut nanoseconds = Vec::new();
        while let Some(worker) = workers.join_next().await {
            nanoseconds.extend(worker??);
        }
        Ok::<_, Error>(nanoseconds)
    };
    let ((seconds, calls, cpu, peak_known), nanoseconds) = tokio::try_join!(window, answers)?;
    let mut report = Report::new(plan, calls, seconds, nanoseconds);
    if !pids.is_empty() {
        // Without an answer in the window there is nothing to divide by; the times then tell how bad it is.
        report.cpu_us = (calls > 0).then(|| cpu.as_secs_f64() * 1e6 / calls as f64);
        report.rss = Some(process::rss(pids)?);
        report.rss_peak = if peak_known { Some(process::rss_peak(pids)?) } else { None };
    }
    Ok(report)
}

/// Calls once, as a probe: is the endpoint ready, and does it answer what is expected?
pub(crate) async fn probe(plan: &Plan, limit: Duration) -> Result<()> {
    let once = async {
        let mut worker = Worker::connect(plan, 0).await?;
        let answered = worker.call().await;
        worker.end().await;
        answered
    };
    timeout(limit, once).await.map_err(|_| format!("no answer within {limit:?}"))?
}

/// What the workers and the clock share; all on one thread.
#[derive(Default)]
struct Shared {
    measuring: AtomicBool,
    done: AtomicBool,
    calls: AtomicU64,
}

/// One connection and what it calls.
struct Worker {
    line: Line,
    requests: Requests,
    checker: Checker,
    id: u64,
}

impl Worker {
    async fn connect(plan: &Plan, number: usize) -> Result<Self> {
        let (mut line, to) = Line::open(&plan.url, plan.way).await?;
        let session = match plan.era {
            Era::Modern => None,
            Era::Legacy => initialize(&mut line, plan.way, &to).await?,
        };
        let requests = Requests::new(plan, to, session.as_deref());
        let id = request::first_id(number);
        Ok(Self { line, requests, checker: Checker::new(plan), id })
    }

    /// Calls until the end, and returns how long each call took that the window has seen.
    async fn work(mut self, shared: Arc<Shared>) -> Result<Vec<u64>> {
        let mut nanoseconds = Vec::new();
        while !shared.done.load(Relaxed) {
            let (started, measured) = (Instant::now(), shared.measuring.load(Relaxed));
            self.call().await?;
            let in_window = shared.measuring.load(Relaxed);
            if in_window {
                shared.calls.fetch_add(1, Relaxed);
            }
            // What the window's end found waiting counts too, or the slowest calls would be left out.
            if in_window || measured {
                nanoseconds.push(u64::try_from(started.elapsed().as_nanos())?);
            }
        }
        self.end().await;
        Ok(nanoseconds)
    }

    /// One call: one request and its answer, or a whole list, page after page.
    async fn call(&mut self) -> Result<()> {
        let mut cursor = None;
        for page in 0..PAGES_MAX {
            self.id += 1;
            let request = self.requests.stamped(self.id, cursor.as_deref());
            self.line.send(request).await?;
            let answer = self.line.receive().await?;
            cursor = self.checker.check(page, self.id, &answer)?;
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err("the list has no end".into())
    }

    /// Ends a legacy session; a server that will not is none of our business.
    async fn end(mut self) {
        if let Some(request) = self.requests.delete() {
            let ended = async {
                self.line.send(&request).await?;
                self.line.receive().await.map(drop)
            };
            let _ = timeout(END, ended).await;
        }
    }
}

/// The handshake of the legacy era; returns the session's id, if the server keeps one.
async fn initialize(line: &mut Line, way: Way, url: &Uri) -> Result<Option<String>> {
    line.send(&request::initialize(way, url)).await?;
    let answer = line.receive().await?;
    if answer.status != 200 || memchr::memmem::find(answer.body, b"protocolVersion").is_none() {
        return Err(format!("initialize was refused: {answer}").into());
    }
    let session = answer.session.map(str::to_owned);
    line.send(&request::initialized(way, url, session.as_deref())).await?;
    if way != Way::Streamable {
        return Ok(None);
    }
    let answer = line.receive().await?;
    match answer.status {
        200 | 202 => Ok(session),
        _ => Err(format!("notifications/initialized was refused: {answer}").into()),
    }
}
