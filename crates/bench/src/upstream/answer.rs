//! What the server answers, whatever carries it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{MODERN, Message};
use super::seen::Seen;
use crate::text;

/// The tools that do something; the others are there to be listed.
const TOOLS: [(&str, &str, &str); 5] = [
    ("echo", "text", "string"),
    ("payload", "bytes", "integer"),
    ("sink", "data", "string"),
    ("sleep", "ms", "integer"),
    ("hang", "note", "string"),
];
/// The largest answer one may ask for.
const PAYLOAD_MAX: usize = 64 << 20;
const LEGACY: &str = "2025-11-25";

/// What becomes of one message.
pub(super) enum Reply {
    Now(Vec<u8>),
    After(Duration, Vec<u8>),
    /// A notification or an answer: taken, nothing to say.
    Accepted,
    Never,
}

#[derive(Clone)]
pub(super) struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    tools: String,
    payload: usize,
    hang_list: bool,
    /// Large texts as JSON strings, by size.
    texts: Mutex<HashMap<usize, Bytes>>,
    /// Large arguments that have come before.
    seen: Seen,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    bytes: Option<usize>,
    ms: Option<u64>,
}

impl Server {
    pub(super) fn new(tools: usize, payload: usize, hang_list: bool) -> Self {
        let tools = tool_list(tools.max(TOOLS.len()));
        Self {
            shared: Arc::new(Shared {
                tools,
                payload,
                hang_list,
                texts: Mutex::default(),
                seen: Seen::default(),
            }),
        }
    }

    /// The message with the number of its bytes in place of a large argument that has come before.
    pub(super) fn shorten(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.shared.seen.shorten(message)
    }

    pub(super) fn answer(&self, message: &Message<'_>) -> Reply {
        let Some(id) = message.id.filter(|_| !message.method.is_empty()) else { return Reply::Accepted };
        let modern = message.is_modern();
        let cache =
            if modern { r#""resultType":"complete","ttlMs":60000,"cacheScope":"public","# } else { "" };
        let info = r#"{"name":"puerto-bench","version":"0.1.0"}"#;
        let result = match &*message.method {
            "tools/call" => return self.call(id, modern, message),
            "tools/list" if self.shared.hang_list => return Reply::Never,
            "tools/list" => format!(r#"{{{cache}"tools":{}}}"#, self.shared.tools),
            "server/discover" if modern => format!(
                r#"{{{cache}"supportedVersions":["{MODERN}"],"capabilities":{{"tools":{{}}}},"_meta":{{"io.modelcontextprotocol/serverInfo":{info}}}}}"#
            ),
            "initialize" if !modern => {
                let asked = &*message.params.protocol_version;
                let known = ["2024-11-05", "2025-03-26", "2025-06-18", LEGACY].contains(&asked);
                let version = if known { asked } else { LEGACY };
                format!(
                    r#"{{"protocolVersion":"{version}","capabilities":{{"tools":{{}}}},"serverInfo":{info}}}"#
                )
            }
            "ping" if !modern => "{}".to_owned(),
            _ => return Reply::Now(error(id.get(), -32601, "method not found")),
        };
        Reply::Now(envelope(id, &[result.as_bytes()]))
    }

    fn call(&self, id: &RawValue, modern: bool, message: &Message<'_>) -> Reply {
        let raw = message.params.arguments.map_or("{}", RawValue::get);
        let Ok(arguments) = serde_json::from_str::<Arguments<'_>>(raw) else {
            return Reply::Now(error(id.get(), -32602, "arguments of a wrong type"));
        };
        let text = |quoted: &[u8]| -> Vec<u8> {
            let head: &[u8] = if modern { br#"{"resultType":"complete","content"# } else { br#"{"content"# };
            envelope(id, &[head, br#"":[{"type":"text","text":"#, quoted, br#"}],"isError":false}"#])
        };
        match &*message.params.name {
            "echo" => Reply::Now(text(arguments.text.map_or("\"\"", RawValue::get).as_bytes())),
            "payload" => Reply::Now(text(&self.payload(arguments.bytes.unwrap_or(self.shared.payload)))),
            "sink" => Reply::Now(text(format!("\"{}\"", self.length(arguments.data)).as_bytes())),
            "sleep" => {
                let time = Duration::from_millis(arguments.ms.unwrap_or(0));
                Reply::After(time, text(b"\"slept\""))
            }
            "hang" => Reply::Never,
            name if name.starts_with("tool_") => Reply::Now(text(b"\"nothing to do\"")),
            _ => Reply::Now(error(id.get(), -32602, "unknown tool")),
        }
    }

    /// How many bytes the JSON string `raw` stands for; a number is what [`Self::shorten`] left of one.
    fn length(&self, raw: Option<&RawValue>) -> usize {
        let Some(raw) = raw.map(RawValue::get) else { return 0 };
        match serde_json::from_str::<String>(raw) {
            Ok(text) => {
                self.shared.seen.remember(raw, text.len());
                text.len()
            }
            Err(_) => raw.parse().unwrap_or_default(),
        }
    }

    fn payload(&self, bytes: usize) -> Bytes {
        let bytes = bytes.min(PAYLOAD_MAX);
        let mut texts = self.shared.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.entry(bytes).or_insert_with(|| text::quoted(bytes).into()).clone()
    }
}

fn envelope(id: &RawValue, result: &[&[u8]]) -> Vec<u8> {
    let id = id.get().as_bytes();
    let length = result.iter().map(|part| part.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(length + id.len() + 40);
    bytes.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    bytes.extend_from_slice(id);
    bytes.extend_from_slice(br#","result":"#);
    for part in result {
        bytes.extend_from_slice(part);
    }
    bytes.push(b'}');
    bytes
}

pub(super) fn error(id: &str, code: i32, message: &str) -> Vec<u8> {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#).into_bytes()
}

/// The list as JSON: every tool with a description and a schema, as tools have them.
fn tool_list(count: usize) -> String {
    let mut list = String::from("[");
    for number in 0..count {
        let filler = format!("tool_{number:03}");
        let (name, key, kind) = TOOLS.get(number).copied().unwrap_or((&filler, "note", "string"));
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(
            list,
            r#"{comma}{{"name":"{name}","description":"Does what {name} says, once, and answers with a short text.","inputSchema":{{"type":"object","properties":{{"{key}":{{"type":"{kind}","description":"The {key} to use."}}}}}}}}"#
        );
    }
    list.push(']');
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &str, expected: &str) {
        let server = Server::new(5, 10, false);
        let message = Message::parse(message.as_bytes()).unwrap();
        let Reply::Now(answer) = server.answer(&message) else { panic!("no answer at once") };
        assert_eq!(String::from_utf8(answer).unwrap(), expected);
    }

    #[test]
    fn calls_are_answered_in_the_era_they_come_in() {
        check(
            r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"echo","arguments":{"text":"h\"i"}}}"#,
            r#"{"jsonrpc":"2.0","id":"a","result":{"content":[{"type":"text","text":"h\"i"}],"isError":false}}"#,
        );
        check(
            r#"{"id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"},"name":"sink","arguments":{"data":"a\nb"}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[{"type":"text","text":"3"}],"isError":false}}"#,
        );
        check(
            r#"{"id":1,"method":"server/discover"}"#,
            r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"method not found"}}"#,
        );
    }

    #[test]
    fn the_list_has_as_many_tools_as_asked_for() {
        let tools: Vec<serde_json::Value> = serde_json::from_str(&tool_list(12)).unwrap();
        assert_eq!((tools.len(), &tools[11]["name"]), (12, &"tool_011".into()));
    }
}
