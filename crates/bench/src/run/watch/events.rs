//! Events as they come in, each on the disk before it is answered, and a page of many.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{Line, figure};
use crate::load::rest::{Make, Rate, ask, repeat, request};
use crate::run::stage::{Contestant, Stage};
use crate::{Result, process};

/// Clients at once.
const CLIENTS: usize = 64;
/// Events of a batch.
const BATCH: usize = 100;
/// Events among which a page is read.
const MANY: u64 = 1_000_000;
/// Events of a batch where they only have to be there.
const FILL: usize = 1_000;

pub(super) async fn measure(stage: &Stage, is_quick: bool) -> Result<Vec<Line>> {
    // Kept whatever the number: the page is to be read among all of them.
    let config = json!({"store": {"retention": {"events": {"rows": 0, "megabytes": 0}}}});
    let hub = stage.puerto_with(config).await?;
    let window = Duration::from_secs(if is_quick { 1 } else { 5 });
    let single = kept(&hub, window, 1).await?;
    let batch = kept(&hub, window, BATCH).await?;
    let pids = [hub.process.pid()];
    let rss = process::rss(&pids)?;
    let batch_rate = batch.per_second * BATCH as f64;
    let mut lines = vec![
        Line::new(
            "events, one a request, c=64",
            "Puerto",
            format!("{:.0} events/s kept, p99 {:.1} ms", single.per_second, single.p99_us / 1e3),
        )
        .cpu(single.cpu_us)
        .goal("≥ 3,000/s", single.per_second >= 3_000.0),
        Line::new(
            "events, batches of 100, c=64",
            "Puerto",
            format!("{batch_rate:.0} events/s kept, p99 of a batch {:.1} ms", batch.p99_us / 1e3),
        )
        .cpu(batch.cpu_us / BATCH as f64)
        .rss(rss)
        .goal("≥ 20,000/s", batch_rate >= 20_000.0),
    ];
    if !is_quick {
        lines.push(page(&hub).await?);
    }
    Ok(lines)
}

/// Posts events for a time, and sees that all that were answered are there.
async fn kept(hub: &Contestant, window: Duration, each: usize) -> Result<Rate> {
    let before = count(hub).await?;
    let rate = repeat(&hub.url, CLIENTS, window, &[hub.process.pid()], posts(hub, each)).await?;
    let (told, found) = (rate.answered * each as u64, count(hub).await? - before);
    if found < told {
        return Err(format!("{told} events were answered, and {found} are there").into());
    }
    Ok(rate)
}

fn posts(hub: &Contestant, each: usize) -> Make {
    let url = hub.url.clone();
    Arc::new(move |client, number| {
        let event = |at| {
            format!(
                r#"{{"type":"info","payload":{{"client":{client},"request":{number},"at":{at},"text":"{}"}}}}"#,
                "what happened, in as many words as people need to say it. ".repeat(2)
            )
        };
        let body = (0..each).map(event).collect::<Vec<_>>().join("\n");
        let kind = if each == 1 { "application/json" } else { "application/x-ndjson" };
        request(&url, "POST", "/events", kind, &body)
    })
}

async fn count(hub: &Contestant) -> Result<u64> {
    Ok(figure(&ask(&hub.url, "/metrics").await?, "eventsCount")? as u64)
}

/// A page of 100 from the middle of a million events.
async fn page(hub: &Contestant) -> Result<Line> {
    let pids = [hub.process.pid()];
    while count(hub).await? < MANY {
        repeat(&hub.url, 8, Duration::from_secs(2), &pids, posts(hub, FILL)).await?;
    }
    let url = hub.url.clone();
    let make: Make = Arc::new(move |_, number| {
        let path = format!("/events?limit=100&after={}", MANY / 2 + number * 100);
        request(&url, "GET", &path, "application/json", "")
    });
    let rate = repeat(&hub.url, 1, Duration::from_secs(1), &pids, make).await?;
    let found = format!("p50 {:.2} ms, p99 {:.2} ms over HTTP", rate.p50_us / 1e3, rate.p99_us / 1e3);
    Ok(Line::new("events, a page of 100 among 1,000,000", "Puerto", found)
        .cpu(rate.cpu_us)
        .rss(process::rss(&pids)?)
        .goal("< 2 ms", rate.p50_us < 2_000.0))
}
