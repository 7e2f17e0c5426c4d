//! What one server offers: who it is, and the items of its four lists as it wrote them. It is kept as
//! text, so it can be stored and read back without loss.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use puerto_core::def::Capability;
use serde_json::Value;

use crate::era::Revision;
use crate::headers::{HeaderParam, header_params};
use crate::scan::{Fault, Scanner, Span, unquoted};

/// Most items that one list of one server may hold. The largest server seen has about 500 tools; beyond
/// this a list is a fault or an attack on memory.
pub const ITEMS_MAX: usize = 10_000;

/// The four kinds of list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    Templates,
    /// `prompts/list`.
    Prompts,
}

impl ListKind {
    /// All four.
    pub const ALL: [ListKind; 4] = [Self::Tools, Self::Resources, Self::Templates, Self::Prompts];

    /// The capability that it belongs to.
    pub const fn capability(self) -> Capability {
        match self {
            Self::Tools => Capability::Tools,
            Self::Resources | Self::Templates => Capability::Resources,
            Self::Prompts => Capability::Prompts,
        }
    }

    /// The method that lists it.
    pub const fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
            Self::Prompts => "prompts/list",
        }
    }

    /// The member of the result that holds the items.
    pub const fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }

    /// The member of an item that tells it from others.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }

    /// The list in whose name its changes are told: templates change with the resources.
    pub const fn listed_with(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources | Self::Templates => "resources",
            Self::Prompts => "prompts",
        }
    }

    /// One of them, for people.
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Resources => "resource",
            Self::Templates => "resource template",
            Self::Prompts => "prompt",
        }
    }
}

/// One tool, resource, template or prompt.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its name or URI, as its server gives it.
    pub key: Arc<str>,
    /// Its definition as written.
    pub raw: Bytes,
    /// Where the key stands in it.
    pub key_span: Span,
    /// Arguments that are mirrored into headers (tools).
    pub headers: Vec<HeaderParam>,
}

impl Item {
    /// Reads one; nothing where it is no object with a key.
    pub fn read(raw: Bytes, kind: ListKind, headers: Vec<HeaderParam>) -> Option<Self> {
        let (_, key_span) = item_span(&mut Scanner::new(&raw), kind).ok()?;
        let key = unquoted(key_span.of(&raw))?.into();
        Some(Self { key, raw, key_span, headers })
    }
}

/// Who a server is, as it said in its handshake.
#[derive(Debug, Clone)]
pub struct About {
    /// The revision spoken with it.
    pub revision: Revision,
    /// Its `serverInfo`, as written; empty where it gave none.
    pub server_info: Bytes,
    /// Its `capabilities`, as written.
    pub capabilities: Bytes,
    /// Its advice to models.
    pub instructions: Option<String>,
    /// What of the capabilities the hub acts upon.
    pub can: Can,
}

/// Capabilities as flags.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the protocol's own flags")]
pub struct Can {
    /// Has tools.
    pub tools: bool,
    /// Has resources.
    pub resources: bool,
    /// Tells when a subscribed resource changes.
    pub subscribe: bool,
    /// Has prompts.
    pub prompts: bool,
    /// Completes arguments.
    pub completions: bool,
    /// Sends log messages.
    pub logging: bool,
    /// Tells when a list changes.
    pub list_changed: bool,
}

impl Can {
    /// Reads a capabilities object.
    pub fn read(capabilities: &[u8]) -> Self {
        let all: Value = serde_json::from_slice(capabilities).unwrap_or_default();
        let has = |path: &str| all.pointer(path).is_some_and(|v| !v.is_null() && v != &Value::Bool(false));
        Self {
            tools: has("/tools"),
            resources: has("/resources"),
            subscribe: has("/resources/subscribe"),
            prompts: has("/prompts"),
            completions: has("/completions"),
            logging: has("/logging"),
            list_changed: has("/tools/listChanged")
                || has("/resources/listChanged")
                || has("/prompts/listChanged"),
        }
    }

    /// Whether a list of this kind is worth asking for.
    pub fn lists(self, kind: ListKind) -> bool {
        match kind {
            ListKind::Tools => self.tools,
            ListKind::Resources | ListKind::Templates => self.resources,
            ListKind::Prompts => self.prompts,
        }
    }
}

/// What one server offers.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Who it is.
    pub about: About,
    /// Its lists, by kind.
    pub lists: [Vec<Item>; 4],
    /// What was wrong with them, for people.
    pub notices: Vec<String>,
    /// Whether any tool mirrors arguments into headers; hardly any server has one.
    pub mirrors: bool,
}

impl Offer {
    /// An offer without items.
    pub fn new(about: About) -> Self {
        Self { about, lists: Default::default(), notices: Vec::new(), mirrors: false }
    }

    /// The items of a kind.
    pub fn list(&self, kind: ListKind) -> &[Item] {
        &self.lists[kind as usize]
    }

    /// Takes in one page of a list: an array of items, as written. Items without a key and items that
    /// stand twice are left out and reported.
    pub fn take_page(&mut self, kind: ListKind, text: &Bytes, array: Span) -> Result<(), Fault> {
        let mut seen: HashSet<Arc<str>> = self.list(kind).iter().map(|item| item.key.clone()).collect();
        let (list, notices) = (&mut self.lists[kind as usize], &mut self.notices);
        let mirrors = &mut self.mirrors;
        Scanner::at(text, array).array(|s| {
            let span =
                if s.peek() == Some(b'{') { item_span(s, kind)? } else { (s.value()?, Span::default()) };
            let Some(key) = unquoted(span.1.of(text)) else {
                notices.push(format!("a {} has no \"{}\" and is left out", kind.noun(), kind.key()));
                return Ok(());
            };
            let key: Arc<str> = key.into();
            if list.len() == ITEMS_MAX {
                return Err(Fault { at: span.0.start as usize, why: "the list has too many items" });
            }
            if !seen.insert(key.clone()) {
                notices.push(format!("the {} {key:?} is offered twice; the first stands", kind.noun()));
                return Ok(());
            }
            let raw = text.slice(span.0.range());
            let headers = match (kind, header_params(&raw)) {
                (ListKind::Tools, Ok(headers)) => headers,
                (ListKind::Tools, Err(why)) => {
                    notices.push(format!("the tool {key:?} is left out: {why}"));
                    return Ok(());
                }
                _ => Vec::new(),
            };
            let key_span = Span { start: span.1.start - span.0.start, end: span.1.end - span.0.start };
            *mirrors |= !headers.is_empty();
            list.push(Item { key, raw, key_span, headers });
            Ok(())
        })?;
        Ok(())
    }

    /// As one JSON document, to be stored.
    pub fn to_json(&self) -> String {
        let about = &self.about;
        let raw = |bytes: &Bytes| {
            if bytes.is_empty() { "null".into() } else { String::from_utf8_lossy(bytes).into_owned() }
        };
        let mut text = format!(
            r#"{{"revision":"{}","serverInfo":{},"capabilities":{},"instructions":{}"#,
            about.revision.text(),
            raw(&about.server_info),
            raw(&about.capabilities),
            Value::from(about.instructions.clone()),
        );
        for kind in ListKind::ALL {
            let items: Vec<_> =
                self.list(kind).iter().map(|item| String::from_utf8_lossy(&item.raw)).collect();
            text.push_str(&format!(",\"{}\":[{}]", kind.member(), items.join(",")));
        }
        text.push('}');
        text
    }

    /// From a stored document; nothing where it is not one of ours.
    pub fn from_json(text: &Bytes) -> Option<Self> {
        let mut about = About {
            revision: Revision::LATEST_LEGACY,
            server_info: Bytes::new(),
            capabilities: Bytes::new(),
            instructions: None,
            can: Can::default(),
        };
        let mut lists = [Span::default(); 4];
        let mut scanner = Scanner::new(text);
        scanner
            .object(|s, key| {
                let value = s.value()?;
                match key {
                    "revision" => {
                        about.revision = unquoted(value.of(text))
                            .and_then(|t| Revision::parse(&t))
                            .unwrap_or(about.revision);
                    }
                    "serverInfo" if value.of(text) != b"null" => {
                        about.server_info = text.slice(value.range());
                    }
                    "capabilities" if value.of(text) != b"null" => {
                        about.capabilities = text.slice(value.range());
                    }
                    "instructions" => about.instructions = unquoted(value.of(text)).map(Into::into),
                    _ => {
                        if let Some(kind) = ListKind::ALL.into_iter().find(|kind| kind.member() == key) {
                            lists[kind as usize] = value;
                        }
                    }
                }
                Ok(())
            })
            .ok()?;
        about.can = Can::read(&about.capabilities);
        let mut offer = Self::new(about);
        for kind in ListKind::ALL {
            let span = lists[kind as usize];
            span.is_some().then(|| offer.take_page(kind, text, span)).transpose().ok()?;
        }
        Some(offer)
    }
}

/// Steps over an item; answers it and the value of its key.
fn item_span(scanner: &mut Scanner<'_>, kind: ListKind) -> Result<(Span, Span), Fault> {
    let mut found = Span::default();
    let whole = scanner.object(|s, key| {
        let value = s.value()?;
        if key == kind.key() {
            found = value;
        }
        Ok(())
    })?;
    Ok((whole, found))
}
