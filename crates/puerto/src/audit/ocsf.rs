//! Audit records as events of the Open Cybersecurity Schema Framework, for those who gather the logs of many programs: class
//! API Activity (6003) with the profile for traces. What has no place there stands in `unmapped`, so that nothing is
//! lost. They are for reading: only the records themselves can be verified.

use puerto_core::trace::span_of;
use serde_json::{Map, Value, json};

/// The version of the schema.
const SCHEMA: &str = "1.9.0";
/// Members of a record that have a place of their own.
const MAPPED: [&str; 14] = [
    "action",
    "actor",
    "at_us",
    "client",
    "detail",
    "duration_us",
    "object",
    "outcome",
    "protocol",
    "request",
    "seq",
    "server",
    "tenant",
    "trace",
];

/// What an operation does to what it is about.
#[derive(Clone, Copy)]
enum Activity {
    Create = 1,
    Read = 2,
    Update = 3,
    Delete = 4,
    Other = 99,
}

impl Activity {
    fn of(action: &str) -> Self {
        // `noun.verb` of ours, `noun/verb` of MCP.
        match action.rsplit(['.', '/']).next().unwrap_or_default() {
            "create" | "add" | "register" | "import" => Self::Create,
            "read" | "list" | "get" | "logs" | "tools" | "follow" | "export" | "verify" | "prove" => {
                Self::Read
            }
            "update" | "replace" | "reload" | "save" => Self::Update,
            "delete" | "remove" | "clear" => Self::Delete,
            _ => Self::Other,
        }
    }

    const fn name(self) -> Option<&'static str> {
        match self {
            Self::Create => Some("Create"),
            Self::Read => Some("Read"),
            Self::Update => Some("Update"),
            Self::Delete => Some("Delete"),
            Self::Other => None,
        }
    }
}

/// A record as an event. Nothing where it is no record.
pub(crate) fn event(record: &str) -> Option<Value> {
    // Application Activity, and in it API Activity.
    let (category, class) = (6, 6003);
    let record: Map<String, Value> = serde_json::from_str(record).ok()?;
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    let number = |name: &str| record.get(name).and_then(Value::as_u64);
    let action = text("action")?;
    let activity = Activity::of(action);
    let activity_id = activity as u64;
    let (status_id, status) = status(text("outcome"));
    let server = text("server").unwrap_or("puerto");
    let seq = number("seq")?;
    let mut event = json!({
        "activity_id": activity_id,
        "activity_name": activity.name().unwrap_or(action),
        "category_uid": category,
        "class_uid": class,
        "type_uid": class * 100 + activity_id,
        "time": number("at_us")? / 1000,
        "severity_id": 1,
        "status_id": status_id,
        "status": status,
        "metadata": {
            "version": SCHEMA,
            "product": {"name": "Puerto", "vendor_name": "Puerto", "version": env!("CARGO_PKG_VERSION")},
            "profiles": ["trace"],
            "log_name": "audit",
            "uid": seq.to_string(),
            "sequence": seq,
            "event_code": action,
            "tenant_uid": text("tenant")?,
        },
        "actor": {"user": {"name": text("actor")?}},
        "api": {"operation": action, "service": {"name": server}},
        "src_endpoint": {"svc_name": text("client").unwrap_or("unknown")},
        "dst_endpoint": {"svc_name": server},
    });
    if let Some(request) = text("request") {
        event["api"]["request"] = json!({"uid": request});
        event["metadata"]["correlation_uid"] = request.into();
    }
    if let Some(outcome) = text("outcome") {
        event["status_code"] = outcome.into();
    }
    if let Some(detail) = text("detail") {
        event["status_detail"] = detail.into();
    }
    if let Some(protocol) = text("protocol") {
        event["api"]["version"] = protocol.into();
    }
    if let Some(object) = text("object") {
        event["resources"] = json!([{"name": object}]);
    }
    if let Some(duration) = number("duration_us") {
        event["duration"] = (duration / 1000).into();
    }
    if let Some(trace) = text("trace") {
        // Older records name their spans.
        let span = text("span").map(str::to_owned).or_else(|| text("request").map(span_of));
        event["trace"] = json!({"uid": trace, "span": {"uid": span}});
    }
    let is_left = |(name, _): &(String, Value)| !MAPPED.contains(&name.as_str()) && name != "span";
    let left: Map<String, Value> = record.clone().into_iter().filter(is_left).collect();
    event["unmapped"] = left.into();
    Some(event)
}

/// How it ended; one that has only begun, or that another program reports, says nothing of it.
fn status(outcome: Option<&str>) -> (u64, &'static str) {
    match outcome {
        Some("ok") => (1, "Success"),
        Some(_) => (2, "Failure"),
        None => (0, "Unknown"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_api_activity_and_nothing_of_it_is_lost() {
        let record = r#"{"action":"tools/call","actor":"local","arguments":{"bytes":2,"sha256":"00"},"at_us":1795326186483579,"bytes_in":333,"client":"cursor","decision":"allow","detail":"no such file","duration_us":37500,"object":"read_file","outcome":"tool_error","phase":"act","protocol":"2026-07-28","request":"r3b","seq":7,"server":"files","span":"56","tenant":"acme","trace":"f1"}"#;
        assert_eq!(
            event(record).unwrap(),
            json!({
                "activity_id": 99, "activity_name": "tools/call", "category_uid": 6, "class_uid": 6003,
                "type_uid": 600_399, "time": 1_795_326_186_483_u64, "duration": 37, "severity_id": 1,
                "status_id": 2, "status": "Failure", "status_code": "tool_error", "status_detail": "no such file",
                "metadata": {
                    "version": "1.9.0", "profiles": ["trace"], "log_name": "audit", "uid": "7", "sequence": 7,
                    "product": {"name": "Puerto", "vendor_name": "Puerto", "version": env!("CARGO_PKG_VERSION")},
                    "event_code": "tools/call", "tenant_uid": "acme", "correlation_uid": "r3b",
                },
                "actor": {"user": {"name": "local"}},
                "api": {
                    "operation": "tools/call", "service": {"name": "files"}, "version": "2026-07-28",
                    "request": {"uid": "r3b"},
                },
                "src_endpoint": {"svc_name": "cursor"}, "dst_endpoint": {"svc_name": "files"},
                "resources": [{"name": "read_file"}],
                "trace": {"uid": "f1", "span": {"uid": "56"}},
                "unmapped": {
                    "arguments": {"bytes": 2, "sha256": "00"}, "bytes_in": 333, "decision": "allow", "phase": "act",
                },
            })
        );
    }

    #[test]
    fn a_span_is_told_by_its_name_or_by_that_of_its_request() {
        for (span, uid) in [(json!({"span": "56"}), "56"), (json!({}), "000000000000003b")] {
            let mut record = json!({"action": "tools/call", "actor": "a", "at_us": 1, "request": "r3b", "seq": 1, "tenant": "t", "trace": "f1"});
            record.as_object_mut().unwrap().extend(span.as_object().unwrap().clone());
            let event = event(&record.to_string()).unwrap();
            assert_eq!(event["trace"], json!({"uid": "f1", "span": {"uid": uid}}));
        }
    }

    #[test]
    fn what_an_operation_does_is_told_by_its_verb() {
        let of = |action: &str| {
            let record = json!({"action": action, "actor": "a", "at_us": 1, "seq": 1, "tenant": "t"});
            let event = event(&record.to_string()).unwrap();
            (event["activity_id"].as_u64().unwrap(), event["type_uid"].as_u64().unwrap())
        };
        for (action, id) in [
            ("task.create", 1),
            ("resources/read", 2),
            ("tools/list", 2),
            ("config.reload", 3),
            ("context.clear", 4),
            ("deploy", 99),
        ] {
            assert_eq!(of(action), (id, 600_300 + id), "{action}");
        }
        assert_eq!(event("{}"), None);
    }
}
