//! Many legacy sessions: what one costs while it is idle, its stream open, and whether they share what is behind them.

use hyper::Uri;
use tokio::time::{Duration, timeout};

use super::connection::Connection;
use super::line::{Line, Way};
use super::request::{Requests, get, legacy_headers};
use super::{Checker, Era, Plan, Scenario, Worker, initialize};
use crate::Result;

/// How long opening one session, or one call in it, may take.
const EACH: Duration = Duration::from_secs(10);

/// Sessions that are open, each with its stream. They end when dropped.
pub(crate) struct Idle(#[allow(dead_code, reason = "held open")] Vec<Connection>);

/// Opens idle sessions at `url`; the connection that the handshake took is closed.
pub(crate) async fn idle(url: &Uri, count: usize) -> Result<Idle> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = timeout(EACH, async {
            let (mut line, to) = Line::open(url, Way::Streamable).await?;
            let session = initialize(&mut line, Way::Streamable, &to).await?;
            let mut stream = Connection::open(url).await?;
            let headers = format!("Accept: text/event-stream\r\n{}", legacy_headers(session.as_deref()));
            stream.send(&get(url, &headers)).await?;
            match stream.receive_head().await? {
                200 => Ok::<_, crate::Error>(stream),
                other => Err(format!("the stream of a session was refused: {other}").into()),
            }
        });
        streams.push(stream.await??);
    }
    Ok(Idle(streams))
}

/// Opens sessions, each of which calls every tool once; all stay open until the last one has.
pub(crate) async fn call_all(url: &Uri, count: usize, tools: &[String]) -> Result<()> {
    let plan = |tool: &String| Plan {
        url: url.clone(),
        scenario: Scenario::Call,
        era: Era::Legacy,
        way: Way::Streamable,
        connections: 1,
        window: Duration::ZERO,
        warm_up: Duration::ZERO,
        tool: tool.clone(),
        bytes: 0,
        expect: None,
    };
    let first = plan(tools.first().ok_or("no tool to call")?);
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        let mut worker = timeout(EACH, Worker::connect(&first, 0)).await??;
        for tool in tools {
            let plan = plan(tool);
            worker.requests = Requests::new(&plan, url.clone(), worker.requests.session());
            worker.checker = Checker::new(&plan);
            timeout(EACH, worker.call()).await??;
        }
        open.push(worker);
    }
    for worker in open {
        worker.end().await;
    }
    Ok(())
}
