//! Spans, and how OTLP writes them as JSON (OTLP 1.5, JSON Protobuf Encoding: ids in hex, times as texts). Names and attributes
//! are those of OpenTelemetry's semantic conventions for MCP (status Development); what those lack begins with `puerto.`.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use puerto_core::record::Kind;
use puerto_core::{Asked, Code, Outcome, Record, Traced};
use serde::{Serialize, Serializer};

use super::resource::{Attribute, Resource, Scope, Service, attribute, number_text};

/// Which side of a request a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
enum Side {
    /// We were asked.
    Server,
    /// We asked.
    Client,
}

impl From<Side> for u8 {
    /// Numbers of `Span.SpanKind`.
    fn from(side: Side) -> u8 {
        match side {
            Side::Server => 2,
            Side::Client => 3,
        }
    }
}

/// What somebody did, from when to when.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Span {
    #[serde(serialize_with = "hex_trace")]
    trace_id: u128,
    #[serde(serialize_with = "hex_span")]
    span_id: u64,
    #[serde(skip_serializing_if = "is_zero", serialize_with = "hex_span")]
    parent_span_id: u64,
    flags: u8,
    name: String,
    kind: Side,
    #[serde(serialize_with = "number_text")]
    start_time_unix_nano: u128,
    #[serde(serialize_with = "number_text")]
    end_time_unix_nano: u128,
    attributes: Vec<Attribute>,
    status: Status,
}

#[derive(Debug, Default, Serialize)]
struct Status {
    /// 2 is an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
}

impl Span {
    /// The spans of an operation: its own, and one for each server that was asked. None where none were wanted.
    pub(super) fn of(record: &Record) -> impl Iterator<Item = Span> + '_ {
        let traced = record.traced.as_deref();
        let own = traced.map(|traced| Span::own(record, traced));
        let asked = traced.map(|traced| traced.asked.as_slice()).unwrap_or_default();
        let ends = asked.iter().skip(1).map(|next| Some(next.after)).chain([None]);
        own.into_iter().chain(asked.iter().zip(ends).map(|(asked, end)| Span::asked(record, asked, end)))
    }

    fn own(record: &Record, traced: &Traced) -> Span {
        let error = error(record.outcome);
        let mut span = Span::new(record, Side::Server, Duration::ZERO, record.duration, error);
        (span.span_id, span.parent_span_id) = (record.trace.span_id, record.trace.parent_id);
        let also = [
            record.protocol.map(|protocol| attribute("mcp.protocol.version", protocol)),
            traced.session.map(|session| attribute("mcp.session.id", session.to_string())),
            traced.request_id.as_deref().map(|id| attribute("jsonrpc.request.id", id)),
            record.server.clone().map(|server| attribute("puerto.server", server)),
            record.client.clone().map(|client| attribute("puerto.client", client)),
            Some(attribute("puerto.caller", record.caller.clone())),
            Some(attribute("puerto.request", record.request.to_string())),
        ];
        span.attributes.extend(also.into_iter().flatten());
        span
    }

    /// The request to a server. It ended with the operation, or where it did not know what was wanted and the next one was
    /// asked.
    fn asked(record: &Record, asked: &Asked, end: Option<Duration>) -> Span {
        let error = match end {
            Some(_) => Some(Code::UpstreamError.name()),
            None => error(record.outcome),
        };
        let end = end.unwrap_or(record.duration);
        let mut span = Span::new(record, Side::Client, asked.after, end, error);
        (span.span_id, span.parent_span_id) = (asked.span_id, record.trace.span_id);
        span.attributes.push(attribute("mcp.protocol.version", asked.protocol));
        span.attributes.push(attribute("puerto.server", asked.server.clone()));
        span
    }

    fn new(record: &Record, kind: Side, from: Duration, to: Duration, error: Option<&'static str>) -> Span {
        let began = record.at.duration_since(UNIX_EPOCH).unwrap_or_default();
        let method: Arc<str> = record.kind.name().into();
        let about = match (&record.kind, record.object.clone()) {
            (Kind::Mcp(method), Some(object)) => about(method).map(|key| (key, object)),
            _ => None,
        };
        // A resource is no part of a name: there are too many of them.
        let name = match &about {
            Some((key, object)) if *key != RESOURCE => format!("{method} {object}"),
            _ => method.to_string(),
        };
        let mut attributes =
            vec![attribute("mcp.method.name", method), attribute("puerto.tenant", record.tenant.clone())];
        if let Some((TOOL, _)) = &about {
            attributes.push(attribute("gen_ai.operation.name", "execute_tool"));
        }
        attributes.extend(about.map(|(key, object)| attribute(key, object)));
        attributes.extend(error.map(|error| attribute("error.type", error)));
        Span {
            trace_id: record.trace.trace_id,
            span_id: 0,
            parent_span_id: 0,
            flags: record.trace.flags,
            name,
            kind,
            start_time_unix_nano: (began + from).as_nanos(),
            end_time_unix_nano: (began + to).as_nanos(),
            attributes,
            status: Status { code: error.map(|_| 2) },
        }
    }
}

const TOOL: &str = "gen_ai.tool.name";
const RESOURCE: &str = "mcp.resource.uri";

/// What the object of a method is called.
fn about(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" => Some(TOOL),
        "prompts/get" => Some("gen_ai.prompt.name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some(RESOURCE),
        _ => None,
    }
}

fn error(outcome: Outcome) -> Option<&'static str> {
    (outcome != Outcome::Ok).then(|| outcome.name())
}

fn is_zero(id: &u64) -> bool {
    *id == 0
}

fn hex_trace<S: Serializer>(id: &u128, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{id:032x}"))
}

fn hex_span<S: Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{id:016x}"))
}

/// A request to a collector (`ExportTraceServiceRequest`).
pub(super) fn request(service: &Service, spans: &[Span]) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Request<'a> {
        resource_spans: [ResourceSpans<'a>; 1],
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct ResourceSpans<'a> {
        resource: Resource,
        scope_spans: [ScopeSpans<'a>; 1],
    }
    #[derive(Serialize)]
    struct ScopeSpans<'a> {
        scope: Scope,
        spans: &'a [Span],
    }
    let scope_spans = [ScopeSpans { scope: Scope::default(), spans }];
    let resource_spans = [ResourceSpans { resource: Resource::of(service), scope_spans }];
    // Numbers and texts only: writing them cannot fail.
    serde_json::to_string(&Request { resource_spans }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use puerto_core::def::{HubDef, TenantDef};
    use puerto_core::{Caller, Ctx, Recorder, TenantId, TenantView};

    use super::*;

    fn record(makes_spans: bool, traceparent: &str) -> Record {
        let (recorder, mut told) = Recorder::new(8);
        let def: HubDef = serde_json::from_str(r#"{"tenants":{"a":{}}}"#).unwrap();
        let (id, def): (TenantId, TenantDef) = def.tenants.into_iter().next().unwrap();
        let tenant = TenantView::new(id.clone(), def, None);
        let recorder = recorder.with_spans(makes_spans);
        let mut ctx = Ctx::new(Caller::local(id), tenant, recorder, Duration::from_secs(1));
        ctx.id = puerto_core::RequestId::from_number(0xa);
        ctx.follow(Some(traceparent));
        (ctx.protocol, ctx.session) = (Some("2025-11-25"), Some(7));
        let mut op = ctx.begin(Kind::Mcp("tools/call".into()));
        op.note(|record| {
            record.object = Some("add".into());
            record.server = Some("sums".into());
        });
        op.ask("sums".into(), "2026-07-28");
        op.end(Outcome::ToolError);
        let mut batch = Vec::new();
        told.take(&mut batch);
        let entry = batch.pop().unwrap();
        assert!(entry.has_ended());
        entry.record
    }

    const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

    #[test]
    fn a_call_has_a_span_and_so_has_what_was_asked_for_it() {
        let mut record = record(true, CALLER);
        record.at = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        record.duration = Duration::from_millis(5);
        let traced = record.traced.as_mut().unwrap();
        traced.request_id = Some("q1".into());
        (traced.asked[0].span_id, traced.asked[0].after) = (0xb, Duration::from_millis(1));
        let service = Service { name: "hub".into(), instance: "1".into() };
        let spans: Vec<_> = Span::of(&record).collect();
        let text = request(&service, &spans);
        expect![[r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"hub"}},{"key":"service.version","value":{"stringValue":"0.1.0"}},{"key":"service.instance.id","value":{"stringValue":"1"}}]},"scopeSpans":[{"scope":{"name":"puerto","version":"0.1.0"},"spans":[{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"000000000000000a","parentSpanId":"00f067aa0ba902b7","flags":1,"name":"tools/call add","kind":2,"startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000005000000","attributes":[{"key":"mcp.method.name","value":{"stringValue":"tools/call"}},{"key":"puerto.tenant","value":{"stringValue":"a"}},{"key":"gen_ai.operation.name","value":{"stringValue":"execute_tool"}},{"key":"gen_ai.tool.name","value":{"stringValue":"add"}},{"key":"error.type","value":{"stringValue":"tool_error"}},{"key":"mcp.protocol.version","value":{"stringValue":"2025-11-25"}},{"key":"mcp.session.id","value":{"stringValue":"7"}},{"key":"jsonrpc.request.id","value":{"stringValue":"q1"}},{"key":"puerto.server","value":{"stringValue":"sums"}},{"key":"puerto.caller","value":{"stringValue":"local"}},{"key":"puerto.request","value":{"stringValue":"ra"}}],"status":{"code":2}},{"traceId":"0af7651916cd43dd8448eb211c80319c","spanId":"000000000000000b","parentSpanId":"000000000000000a","flags":1,"name":"tools/call add","kind":3,"startTimeUnixNano":"1700000000001000000","endTimeUnixNano":"1700000000005000000","attributes":[{"key":"mcp.method.name","value":{"stringValue":"tools/call"}},{"key":"puerto.tenant","value":{"stringValue":"a"}},{"key":"gen_ai.operation.name","value":{"stringValue":"execute_tool"}},{"key":"gen_ai.tool.name","value":{"stringValue":"add"}},{"key":"error.type","value":{"stringValue":"tool_error"}},{"key":"mcp.protocol.version","value":{"stringValue":"2026-07-28"}},{"key":"puerto.server","value":{"stringValue":"sums"}}],"status":{"code":2}}]}]}]}"#]].assert_eq(&text);
    }

    #[test]
    fn no_spans_are_made_where_nobody_wants_them() {
        assert_eq!(Span::of(&record(false, CALLER)).count(), 0);
        // The caller does not gather this trace.
        assert_eq!(Span::of(&record(true, &CALLER.replace("-01", "-00"))).count(), 0);
        assert_eq!(Span::of(&record(true, "")).count(), 2);
    }
}
