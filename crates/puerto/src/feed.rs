//! What Puerto itself notices, as events beside those that others report: one feed of all that happens. Nobody waits
//! here for the store: what is told goes through a bounded channel to one task that keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use puerto_core::{Event, RequestId, ServerName, Severity, TenantId};
use puerto_mcp::hub::Hub;
use puerto_mcp::tenant::{Change, Tenant};
use puerto_mcp::upstream::State;
use puerto_store::Store;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};

/// Events of our own that may wait to be kept.
const WAITING_MAX: usize = 1_024;
/// How often tenants that came with a new configuration are looked for.
const LOOK: Duration = Duration::from_secs(1);

/// The source of what the hub reports.
const SOURCE: &str = "puerto";

/// Where parts of the hub tell what they notice. A clone is another handle to the same.
#[derive(Debug, Clone)]
pub(crate) struct Feed(mpsc::Sender<(TenantId, Event)>);

impl Feed {
    /// A feed, and the task that keeps what is told. It ends when the last handle is gone.
    pub(crate) fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (to, from) = mpsc::channel(WAITING_MAX);
        (Self(to), tokio::spawn(keep(store, from)))
    }

    /// Tells that something happened in a tenant.
    pub(crate) fn tell(
        &self,
        tenant: &TenantId,
        kind: &str,
        severity: Severity,
        subject: Option<&str>,
        payload: &Value,
    ) {
        let event = Event {
            id: RequestId::next().to_string(),
            source: SOURCE.into(),
            kind: kind.into(),
            severity,
            subject: subject.map(Into::into),
            time_us: None,
            payload: serde_json::value::to_raw_value(payload).unwrap_or_default(),
            extensions: None,
        };
        if self.0.try_send((tenant.clone(), event)).is_err() {
            tracing::warn!(kind, "an event of the hub was not kept: too many wait");
        }
    }

    /// Tells each tenant of something that concerns all of them.
    pub(crate) fn tell_all(&self, hub: &Hub, kind: &str, severity: Severity, payload: &Value) {
        for tenant in hub.tenants().keys() {
            self.tell(tenant, kind, severity, None, payload);
        }
    }
}

async fn keep(store: Store, mut told: mpsc::Receiver<(TenantId, Event)>) {
    while let Some((tenant, event)) = told.recv().await {
        let mut batch = vec![event];
        let mut next = None;
        while let Ok((of, event)) = told.try_recv() {
            if of != tenant {
                next = Some((of, event));
                break;
            }
            batch.push(event);
        }
        append(&store, &tenant, batch).await;
        if let Some((tenant, event)) = next {
            append(&store, &tenant, vec![event]).await;
        }
    }
}

async fn append(store: &Store, tenant: &TenantId, events: Vec<Event>) {
    let kinds: Vec<_> = events.iter().map(|event| event.kind.clone()).collect();
    if let Err(error) = store.events_append(tenant, events, None).await {
        tracing::warn!(%error, kinds = kinds.join(","), "events of the hub were not kept");
    }
}

/// Follows every server of every tenant, those of later configurations too, until the hub drains.
pub(crate) async fn watch_servers(hub: Arc<Hub>, feed: Feed) {
    let mut followed = BTreeMap::new();
    let mut following = JoinSet::new();
    while !hub.draining.is_cancelled() {
        let tenants = hub.tenants();
        followed.retain(|id, _| tenants.contains_key(id));
        for (id, tenant) in tenants.iter() {
            followed.entry(id.clone()).or_insert_with(|| {
                following.spawn(follow(hub.clone(), tenant.clone(), feed.clone()));
            });
        }
        drop(tenants);
        tokio::select! {
            () = hub.draining.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        while following.try_join_next().is_some() {}
    }
}

/// Follows the servers of one tenant.
async fn follow(hub: Arc<Hub>, tenant: Arc<Tenant>, feed: Feed) {
    let mut changes = tenant.keeper.changes();
    let id = tenant.view.id.clone();
    let mut told: BTreeMap<ServerName, &'static str> = BTreeMap::new();
    // What happened before anybody listened.
    for (name, upstream) in &tenant.upstreams {
        tell_state(&feed, &id, name, &upstream.state(), &mut told);
    }
    drop(tenant);
    loop {
        let change = tokio::select! {
            () = hub.draining.cancelled() => return,
            change = changes.next() => change,
        };
        let Some(change) = change else { return };
        let Ok(tenant) = hub.tenant(id.as_str()) else { return };
        match change {
            Change::State { server, .. } => {
                if let Ok(upstream) = tenant.upstream(&server) {
                    tell_state(&feed, &id, &server, &upstream.state(), &mut told);
                }
            }
            Change::Missed => {
                for (name, upstream) in &tenant.upstreams {
                    tell_state(&feed, &id, name, &upstream.state(), &mut told);
                }
            }
            Change::List { .. } | Change::Profile { .. } | Change::Updated { .. } => {}
        }
    }
}

fn tell_state(
    feed: &Feed,
    tenant: &TenantId,
    server: &ServerName,
    state: &State,
    told: &mut BTreeMap<ServerName, &'static str>,
) {
    let (kind, severity) = match state {
        State::Ready => ("server.ready", Severity::Info),
        State::Stopped => ("server.stopped", Severity::Info),
        State::Degraded { .. } => ("server.degraded", Severity::Warning),
        State::BackingOff { .. } => ("server.crashed", Severity::Warning),
        State::Failed { .. } => ("server.failed", Severity::Error),
        State::Disabled | State::Idle | State::Hibernating | State::Starting => return,
    };
    if told.insert(server.clone(), kind) == Some(kind) {
        return;
    }
    let payload = json!({"server": server, "state": state.name(), "why": state.why()});
    feed.tell(tenant, kind, severity, Some(server.as_str()), &payload);
}
