//! A changed configuration, taken over while the hub runs: when its file changes, on SIGHUP, and when somebody
//! asks. A file with a fault changes nothing, and is told of until it is mended.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use puerto_core::def::HubDef;
use puerto_core::{Code, Error, Result, Severity};
use puerto_mcp::adopt::Plan;
use puerto_mcp::hub::Hub;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::alerts::Alerts;
use crate::compose::{Works, reach_of};
use crate::config;
use crate::feed::Feed;
use crate::watch::Watch;

/// How often the file is looked at. Looking costs one system call, and works where nobody tells of changes:
/// network file systems, files that an orchestrator swaps.
const LOOK: Duration = Duration::from_secs(1);

/// What becomes of things when the file is taken over, or would.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Changes {
    /// New servers, as `tenant:server`.
    added: Vec<String>,
    /// Servers that are defined otherwise: each begins anew, and finishes the calls that it has.
    changed: Vec<String>,
    /// Servers that are no longer defined.
    removed: Vec<String>,
    /// Servers that go on untouched.
    unchanged: usize,
    /// Tenants whose overrides or profiles are different; their servers go on, their lists are made anew.
    reshaped: Vec<String>,
    /// Whether what is watched is different.
    services: bool,
    /// Whether it is different who hears of what.
    alerts: bool,
    /// Sections that are different and count at the next start only.
    next_start: Vec<&'static str>,
}

impl Changes {
    fn new(plan: Plan, before: &HubDef, now: &HubDef) -> Self {
        let sections = [
            ("gateway", before.gateway != now.gateway),
            ("orchestrator", before.orchestrator != now.orchestrator),
            ("logging", before.logging != now.logging),
            ("telemetry", before.telemetry != now.telemetry),
            ("store", before.store != now.store),
            ("audit", before.audit != now.audit),
            ("watch", before.watch != now.watch),
            ("tasks", before.tasks != now.tasks),
            ("apps", before.apps != now.apps),
        ];
        let next_start = sections.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
        let Plan { added, changed, removed, unchanged, reshaped } = plan;
        Self {
            added,
            changed,
            removed,
            unchanged,
            reshaped,
            services: before.services != now.services,
            alerts: before.alerts != now.alerts,
            next_start,
        }
    }

    fn is_nothing(&self) -> bool {
        *self == Self { unchanged: self.unchanged, ..Self::default() }
    }
}

/// The configuration of a running hub.
pub(crate) struct Reload {
    hub: Arc<Hub>,
    watch: Arc<Watch>,
    alerts: Arc<Alerts>,
    feed: Feed,
    file: PathBuf,
    port: Option<u16>,
    state: Mutex<State>,
}

struct State {
    /// What the hub runs with.
    def: HubDef,
    /// What is wrong with the file, where it is not that.
    fault: Option<String>,
    stamp: Option<Stamp>,
}

/// Tells one content of a file from another without reading it.
type Stamp = (SystemTime, u64, u64);

impl Reload {
    /// For a hub that was started from a file, with the port that the command line gave.
    pub(crate) fn new(works: &Works, file: PathBuf, port: Option<u16>, def: HubDef) -> Arc<Self> {
        let (hub, watch, feed) = (works.hub.clone(), works.watch.clone(), works.feed.clone());
        let alerts = works.alerts.clone();
        let stamp = stamp(&file);
        Arc::new(Self {
            hub,
            watch,
            alerts,
            feed,
            file,
            port,
            state: Mutex::new(State { def, fault: None, stamp }),
        })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is wrong with the file, where the hub runs with an earlier content of it.
    pub(crate) fn fault(&self) -> Option<String> {
        self.state().fault.clone()
    }

    /// What taking over the file would do.
    pub(crate) async fn preview(self: &Arc<Self>) -> Result<Changes> {
        let this = self.clone();
        blocking(move || {
            let def = this.load()?;
            let plan = Plan::between(&this.hub.tenants(), &def.tenants);
            Ok(Changes::new(plan, &this.state().def, &def))
        })
        .await
    }

    /// Takes over the file.
    pub(crate) async fn take_over(self: &Arc<Self>) -> Result<Changes> {
        let this = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let newest = self.alerts.newest_event().await;
        let changes = blocking(move || {
            let _runtime = runtime.enter();
            this.adopt(newest)
        })
        .await?;
        self.alerts.begin().await;
        Ok(changes)
    }

    fn adopt(&self, newest_event: i64) -> Result<Changes> {
        let loaded = self.load();
        let mut state = self.state();
        state.stamp = stamp(&self.file);
        let def = match loaded {
            Ok(def) => def,
            Err(error) => {
                state.fault = Some(error.public().to_owned());
                let payload = json!({"fault": error.public()});
                self.feed.tell_all(&self.hub, "configuration.refused", Severity::Error, &payload);
                tracing::error!(file = %self.file.display(), "the configuration has a fault; the last good one stays: {}", error.public());
                return Err(error);
            }
        };
        self.alerts.adopt(&def.alerts, newest_event)?;
        let plan = self.hub.adopt(def.tenants.clone(), &reach_of(&def));
        self.watch.adopt(&def.services, &def.watch);
        let changes = Changes::new(plan, &state.def, &def);
        (state.def, state.fault) = (def, None);
        if changes.is_nothing() {
            tracing::info!("the configuration was read again; nothing is different");
        } else {
            let payload = serde_json::to_value(&changes).unwrap_or_default();
            self.feed.tell_all(&self.hub, "configuration.reloaded", Severity::Info, &payload);
            tracing::info!(
                added = ?changes.added, changed = ?changes.changed, removed = ?changes.removed,
                unchanged = changes.unchanged, reshaped = ?changes.reshaped, next_start = ?changes.next_start, "the configuration was taken over"
            );
        }
        Ok(changes)
    }

    fn load(&self) -> Result<HubDef> {
        let loaded = config::load(&self.file, &crate::command::env).map_err(|problems| {
            let text: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let text =
                format!("{} is not valid; nothing was changed\n\n{}", self.file.display(), text.join("\n\n"));
            Error::caller(Code::InvalidConfig, text)
        })?;
        let mut def = loaded.def;
        if let Some(port) = self.port {
            def.gateway.port = port;
        }
        Ok(def)
    }

    /// Takes over the file whenever it changes, and on SIGHUP, until told to stop.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {
                    if stamp(&self.file) == self.state().stamp {
                        continue;
                    }
                }
                _ = hang_up.recv() => {}
                () = stop.cancelled() => return,
            }
            // What is wrong is kept, and told by the log and by /health.
            let _ = self.take_over().await;
        }
    }
}

fn stamp(file: &std::path::Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let about = std::fs::metadata(file).ok()?;
    Some((about.modified().ok()?, about.len(), about.ino()))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| Error::hub(Code::Internal, "a task of Puerto broke").inside(e))?
}
