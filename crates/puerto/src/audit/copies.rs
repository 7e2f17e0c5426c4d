//! Copies of checkpoints, at a webhook and a syslog: what stands for the trail is then also where nobody who owns this
//! machine can change it. Only the newest is sent, since it stands for all before it: one that waits makes way for it, and
//! nothing of the hub waits for a receiver.

use std::sync::Arc;
use std::time::Duration;

use puerto_core::def::CopiesDef;
use puerto_core::{Code, Error, Result, Severity};
use puerto_mcp::hub::Hub;
use puerto_store::audit::checkpoint::{Checkpoint, ORIGIN, Verifier};
use puerto_watch::alert::{Channel, Outcome, Sender, WAIT_MAX, retry};
use puerto_watch::syslog::{self, Syslog};
use serde::Serialize;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Seal;
use crate::feed::Feed;
use crate::record::metrics::Metrics;

/// Longest time that handing a message to a syslog may take.
const HANDING: Duration = Duration::from_secs(10);
/// Changes between working and failing that may wait to be told; more say nothing new.
const TOLD_MAX: usize = 16;

/// What sends copies, until it is finished.
pub(crate) struct Copies {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

/// That a receiver takes no copies any more, or does again.
pub(crate) struct Told {
    to: &'static str,
    fails: bool,
}

/// A receiver.
enum To {
    Webhook(Box<Channel>),
    Syslog(Syslog),
}

/// What sends to one receiver.
struct Copier {
    to: To,
    sender: Arc<Sender>,
    key: Verifier,
    host: Arc<str>,
    metrics: Arc<Metrics>,
    told: mpsc::Sender<Told>,
}

/// A checkpoint as a receiver gets it. Members are added in later versions, and none goes.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    origin: &'static str,
    /// What it is verified by; who wants to be sure has noted it before.
    key: String,
    size: u64,
    /// In hex, as `puerto audit verify` shows it.
    root: String,
    time: &'a str,
    /// The signed text, byte for byte as in the file of checkpoints.
    note: &'a str,
}

impl Copies {
    /// Sends what a seal signs from now on. Answers also what is to be told of receivers.
    pub(crate) fn start(
        def: &CopiesDef,
        seal: &Seal,
        metrics: &Arc<Metrics>,
    ) -> Result<(Self, mpsc::Receiver<Told>)> {
        let (told, news) = mpsc::channel(TOLD_MAX);
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let receivers = receivers(def)?;
        if !receivers.is_empty() {
            let host = nix::unistd::gethostname().unwrap_or_default();
            let (sender, host) = (Arc::new(Sender::new()), Arc::from(host.to_string_lossy()));
            for to in receivers {
                let (sender, host) = (Arc::clone(&sender), Arc::clone(&host));
                let (metrics, told) = (Arc::clone(metrics), told.clone());
                let copier = Copier { to, sender, key: seal.verifier(), host, metrics, told };
                tasks.spawn(copier.run(seal.newest(), stop.clone()));
            }
        }
        Ok((Self { tasks, stop }, news))
    }

    /// Tries once more to send what was not, and ends.
    pub(crate) async fn finish(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

fn receivers(def: &CopiesDef) -> Result<Vec<To>> {
    let wrong = |key: &str, why: &dyn std::fmt::Display| {
        Error::caller(Code::InvalidConfig, format!("audit.copies.{key} cannot be used: {why}"))
    };
    let hook = def.webhook.as_ref().map(|def| {
        let channel = Channel::new(&def.channel()).map_err(|faults| wrong("webhook", &faults[0]))?;
        Ok(To::Webhook(Box::new(channel)))
    });
    let syslog = def
        .syslog
        .as_ref()
        .map(|address| Syslog::new(address).map(To::Syslog).map_err(|why| wrong("syslog", &why)));
    [hook, syslog].into_iter().flatten().collect()
}

/// Tells of receivers, for as long as it is polled.
pub(crate) async fn tell(mut news: mpsc::Receiver<Told>, hub: Arc<Hub>, feed: Feed) {
    while let Some(Told { to, fails }) = news.recv().await {
        let (kind, severity) = match fails {
            true => ("audit.copies_failing", Severity::Error),
            false => ("audit.copies_sent", Severity::Info),
        };
        feed.tell_all(&hub, kind, severity, &json!({ "to": to }));
    }
}

impl Copier {
    async fn run(self, mut newest: watch::Receiver<Arc<str>>, stop: CancellationToken) {
        let mut is_failing = false;
        loop {
            tokio::select! {
                biased;
                changed = newest.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            let mut attempts = 0;
            loop {
                let note = newest.borrow_and_update().clone();
                let outcome = self.attempt(&note).await;
                self.metrics.copied(self.to.name(), outcome == Outcome::Sent);
                let (after, why) = match outcome {
                    Outcome::Sent => break,
                    Outcome::Retry { after, why } => (after, why),
                    // It may want it once somebody has mended it.
                    Outcome::Refused { why } => (None, why),
                };
                self.note(&mut is_failing, Some(&why));
                if stop.is_cancelled() {
                    return;
                }
                attempts += 1;
                let wait = retry(attempts, Duration::ZERO, after, fastrand::f64()).unwrap_or(WAIT_MAX);
                let _ = tokio::time::timeout(wait, stop.cancelled()).await;
            }
            self.note(&mut is_failing, None);
        }
    }

    async fn attempt(&self, note: &str) -> Outcome {
        let Ok(checkpoint) = self.key.open(note) else {
            return Outcome::Refused { why: "a checkpoint of ours is none".into() };
        };
        let document = Document::of(note, &checkpoint, &self.key);
        match &self.to {
            To::Webhook(channel) => self.sender.post(channel, &document.id(), &document).await,
            To::Syslog(to) => {
                let document = serde_json::to_string(&document).unwrap_or_default();
                let message = syslog::message(&checkpoint.time, &self.host, "checkpoint", &document);
                self.sender.log(to, &message, HANDING).await
            }
        }
    }

    /// Says once that a receiver fails, and once that it does no longer.
    fn note(&self, is_failing: &mut bool, why: Option<&str>) {
        if std::mem::replace(is_failing, why.is_some()) == why.is_some() {
            return;
        }
        let to = self.to.name();
        match why {
            Some(why) => {
                tracing::error!(to, why, "checkpoints of the audit trail are not copied; it is tried again");
            }
            None => tracing::info!(to, "checkpoints of the audit trail are copied again"),
        }
        let _ = self.told.try_send(Told { to, fails: why.is_some() });
    }
}

impl To {
    fn name(&self) -> &'static str {
        match self {
            To::Webhook(_) => "webhook",
            To::Syslog(_) => "syslog",
        }
    }
}

impl<'a> Document<'a> {
    fn of(note: &'a str, checkpoint: &'a Checkpoint, key: &Verifier) -> Self {
        let root = checkpoint.root.iter().map(|byte| format!("{byte:02x}")).collect();
        let Checkpoint { size, time, .. } = checkpoint;
        Self { kind: "audit.checkpoint", origin: ORIGIN, key: key.to_string(), size: *size, root, time, note }
    }

    /// The same for one that is sent again.
    fn id(&self) -> String {
        format!("checkpoint-{}-{}", self.size, self.root)
    }
}
