//! `subscriptions/listen`: one stream per request, acknowledged once the servers have taken note, then
//! every change that was asked for and nothing else (specification 2026-07-28, subscriptions).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use puerto_core::record::Kind as RecordKind;
use puerto_core::{Ctx, Op, Outcome, ServerName};
use serde::Deserialize;

use crate::door::Reply;
use crate::frame::{Frame, Parts};
use crate::hub::{Endpoint, Hub};
use crate::offer::ListKind;
use crate::route::resource_targets;
use crate::tenant::{Change, Changes};
use crate::wire::{self, INVALID_PARAMS, Refusal};

/// Resources that one stream may watch.
const RESOURCES_MAX: usize = 1000;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    tools_list_changed: bool,
    prompts_list_changed: bool,
    resources_list_changed: bool,
    resource_subscriptions: Vec<String>,
}

/// A stream under way. Dropped, it gives its subscriptions back.
struct Listening {
    hub: Arc<Hub>,
    endpoint: Endpoint,
    id: Bytes,
    filter: Filter,
    /// What the client calls each resource of a server.
    resources: BTreeMap<(ServerName, Arc<str>), String>,
    changes: Changes,
    op: Op,
    over: bool,
}

/// Opens a stream.
pub(super) async fn open(hub: &Arc<Hub>, endpoint: &Endpoint, ctx: &Ctx, frame: &Frame) -> Reply {
    let mut op = ctx.begin(RecordKind::Mcp("subscriptions/listen".into()));
    let filter = match &*frame.raw(frame.params.notifications) {
        b"" => Ok(Filter::default()),
        raw => serde_json::from_slice::<Filter>(raw),
    };
    let refuse = |op: &mut Op, text: String| {
        let refusal = Refusal::new(INVALID_PARAMS, text);
        refusal.record(op);
        Reply::refused(&refusal, &frame.raw(frame.id), false)
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => return refuse(&mut op, format!("\"notifications\" does not fit: {error}")),
    };
    if filter.resource_subscriptions.len() > RESOURCES_MAX {
        return refuse(&mut op, format!("more than {RESOURCES_MAX} resources in one stream"));
    }
    // Heard from here on, so that nothing between now and the acknowledgement is missed.
    let changes = endpoint.tenant.keeper.changes();
    let mut listening = Listening {
        hub: hub.clone(),
        endpoint: endpoint.clone(),
        id: frame.share(frame.id),
        filter,
        resources: BTreeMap::new(),
        changes,
        op,
        over: false,
    };
    listening.subscribe(ctx).await;
    futures_util::future::join_all(endpoint.upstreams().map(|up| up.hears(ctx.deadline))).await;
    let first = listening.acknowledgement();
    let rest = stream::unfold(listening, |mut listening| async move {
        let texts = listening.next().await?;
        Some((stream::iter(texts), listening))
    });
    let rest = rest.flatten();
    Reply::Stream(stream::iter([first]).chain(rest).boxed())
}

impl Listening {
    /// Subscribes at the servers that own the resources; what none of them takes is not acknowledged.
    async fn subscribe(&mut self, ctx: &Ctx) {
        for uri in std::mem::take(&mut self.filter.resource_subscriptions) {
            for target in resource_targets(&self.endpoint, &uri) {
                let Ok(upstream) = self.endpoint.tenant.upstream(&target.server) else { continue };
                if upstream.subscribe(&target.key, ctx.deadline).await.is_ok() {
                    self.resources.insert((target.server, target.key), uri.clone());
                    self.filter.resource_subscriptions.push(uri);
                    break;
                }
            }
        }
    }

    fn notification(&self, method: &str, member: &str) -> Parts {
        let id = String::from_utf8_lossy(&self.id);
        format!(
            r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}{member}}}}}"#
        )
        .into()
    }

    fn acknowledgement(&self) -> Parts {
        let filter = &self.filter;
        let flags = [
            ("toolsListChanged", filter.tools_list_changed),
            ("promptsListChanged", filter.prompts_list_changed),
            ("resourcesListChanged", filter.resources_list_changed),
        ];
        let mut honored: Vec<_> =
            flags.iter().filter(|(_, on)| *on).map(|(name, _)| format!("\"{name}\":true")).collect();
        if !filter.resource_subscriptions.is_empty() {
            honored.push(format!(
                "\"resourceSubscriptions\":{}",
                serde_json::Value::from(filter.resource_subscriptions.clone())
            ));
        }
        self.notification(
            "notifications/subscriptions/acknowledged",
            &format!(",\"notifications\":{{{}}}", honored.join(",")),
        )
    }

    async fn next(&mut self) -> Option<Vec<Parts>> {
        if self.over {
            return None;
        }
        loop {
            let change = tokio::select! {
                change = self.changes.next() => change,
                () = self.hub.draining.cancelled() => None,
            };
            let Some(change) = change else { return Some(vec![self.end()]) };
            let texts = self.told(&change);
            if !texts.is_empty() {
                return Some(texts);
            }
        }
    }

    fn end(&mut self) -> Parts {
        self.over = true;
        self.op.end(Outcome::Ok);
        let id = String::from_utf8_lossy(&self.id).into_owned();
        let members =
            format!(r#""resultType":"complete","_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}}"#);
        wire::result(&self.id, &members)
    }

    fn told(&self, change: &Change) -> Vec<Parts> {
        if let Some(kind) = self.endpoint.list_changed(change) {
            return self.listed(kind).into_iter().collect();
        }
        match change {
            Change::Updated { server, uri } => {
                let asked = self.resources.get(&(server.clone(), uri.clone()));
                asked.map(|uri| self.updated(uri)).into_iter().collect()
            }
            Change::Missed => {
                let lists = [ListKind::Tools, ListKind::Prompts, ListKind::Resources];
                let lists = lists.into_iter().filter_map(|kind| self.listed(kind));
                lists.chain(self.resources.values().map(|uri| self.updated(uri))).collect()
            }
            Change::List { .. } | Change::Profile { .. } | Change::State { .. } => Vec::new(),
        }
    }

    /// That a list has changed, where the client wants to know.
    fn listed(&self, kind: ListKind) -> Option<Parts> {
        let wanted = match kind {
            ListKind::Tools => self.filter.tools_list_changed,
            ListKind::Prompts => self.filter.prompts_list_changed,
            ListKind::Resources | ListKind::Templates => self.filter.resources_list_changed,
        };
        let method = format!("notifications/{}/list_changed", kind.listed_with());
        wanted.then(|| self.notification(&method, ""))
    }

    fn updated(&self, uri: &str) -> Parts {
        let uri = serde_json::Value::from(uri);
        self.notification("notifications/resources/updated", &format!(",\"uri\":{uri}"))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let held = std::mem::take(&mut self.resources);
        let tenant = self.endpoint.tenant.clone();
        if !held.is_empty() && !self.hub.stopping.is_cancelled() {
            self.hub.spawn(async move {
                for (server, uri) in held.into_keys() {
                    if let Ok(upstream) = tenant.upstream(&server) {
                        upstream.unsubscribe(&uri).await;
                    }
                }
            });
        }
    }
}
