//! Lists, answered from memory: a page is a slice of a text that was joined when the catalog changed.

use bytes::Bytes;
use puerto_core::record::Kind as RecordKind;
use puerto_core::{Action, Ctx, Outcome};

use crate::catalog::Scope;
use crate::frame::{Frame, Parts};
use crate::hub::{Endpoint, Hub};
use crate::offer::ListKind;
use crate::upstream::State;
use crate::wire::{INVALID_PARAMS, Refusal, result_around};

/// Who answers, as on the wire.
pub const SERVER_INFO: &str =
    concat!(r#"{"name":"puerto","title":"Puerto","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// How long a list may be held by a client. Changes are announced, so this only bounds the harm of a lost
/// announcement; while a server is not there the list may be better at any moment.
const FRESH_MS: u32 = 5000;

/// Answers a list.
pub async fn answer(
    hub: &Hub,
    ctx: &Ctx,
    endpoint: &Endpoint,
    kind: ListKind,
    frame: &Frame,
    modern: bool,
) -> Result<Parts, Refusal> {
    let mut op = ctx.begin(RecordKind::Mcp(kind.method().into()));
    op.note(|record| {
        record.bytes_in = frame.parts.len() as u64;
        record.server = endpoint.scope.server.as_ref().map(puerto_core::ServerName::shared);
    });
    let answered = page(hub, ctx, endpoint, kind, frame, modern).await;
    match &answered {
        Ok(parts) => {
            op.note(|record| record.bytes_out = parts.len() as u64);
            op.end(Outcome::Ok);
        }
        Err(refusal) => refusal.record(&mut op),
    }
    answered
}

async fn page(
    hub: &Hub,
    ctx: &Ctx,
    endpoint: &Endpoint,
    kind: ListKind,
    frame: &Frame,
    modern: bool,
) -> Result<Parts, Refusal> {
    ctx.require(Action::Read, &ctx.tenant.id).map_err(|e| Refusal::from(&e))?;
    let _place = ctx.tenant.quota.take().map_err(|e| Refusal::from(&e))?;
    let scope = scope(endpoint);
    let after = match frame.params.cursor.is_some() && *frame.raw(frame.params.cursor) != *b"null" {
        false => None,
        true => {
            let cursor = frame.text(frame.params.cursor);
            let opened = cursor.and_then(|cursor| hub.seal.open(&scope, kind, &cursor));
            Some(opened.ok_or_else(|| {
                Refusal::new(INVALID_PARAMS, "invalid cursor; start again at the first page")
            })?)
        }
    };
    let catalog = endpoint.tenant.catalog(&endpoint.scope).await;
    let (items, next) = match catalog.listing(&endpoint.scope) {
        Some(listing) => {
            let page = listing.list(kind).page(after.as_deref(), hub.settings.page_size);
            (page.items, page.next)
        }
        None => (Bytes::new(), None),
    };
    let head = match modern {
        true => {
            let settled =
                endpoint.upstreams().all(|up| matches!(up.state(), State::Ready | State::Hibernating));
            let ttl = if settled { FRESH_MS } else { 0 };
            format!(
                r#""resultType":"complete","ttlMs":{ttl},"cacheScope":"private","_meta":{{"io.modelcontextprotocol/serverInfo":{SERVER_INFO}}},"{}":["#,
                kind.member()
            )
        }
        false => format!("\"{}\":[", kind.member()),
    };
    let tail = match next {
        Some(key) => format!("],\"nextCursor\":\"{}\"", hub.seal.seal(&scope, kind, &key)),
        None => "]".to_owned(),
    };
    Ok(result_around(&frame.raw(frame.id), &head, items, &tail))
}

/// What a cursor is bound to.
fn scope(endpoint: &Endpoint) -> String {
    let Scope { server, profile } = &endpoint.scope;
    let server = server.as_ref().map_or("", |server| server.as_str());
    let profile = profile.as_ref().map(|profile| format!("?{profile}")).unwrap_or_default();
    format!("{}/{server}{profile}", endpoint.tenant.view.id)
}
