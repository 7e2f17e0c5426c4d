//! Where a request leads: the server that owns the name or URI in it, and what it is called there.

use std::sync::Arc;

use puerto_core::{ServerName, intern};

use crate::catalog::{Catalog, Found, Scope, Target, Withheld};
use crate::frame::{Edits, Frame};
use crate::hub::Endpoint;
use crate::offer::ListKind;
use crate::scan::{Scanner, Span, unquoted};
use crate::wire::{INVALID_PARAMS, Refusal};

/// Methods that lead to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routed {
    /// `tools/call`.
    ToolsCall,
    /// `resources/read`.
    ResourcesRead,
    /// `prompts/get`.
    PromptsGet,
    /// `completion/complete`.
    Complete,
}

impl Routed {
    /// By name.
    pub fn parse(method: &str) -> Option<Self> {
        match method {
            "tools/call" => Some(Self::ToolsCall),
            "resources/read" => Some(Self::ResourcesRead),
            "prompts/get" => Some(Self::PromptsGet),
            "completion/complete" => Some(Self::Complete),
            _ => None,
        }
    }

    /// Its name.
    pub const fn method(self) -> &'static str {
        match self {
            Self::ToolsCall => "tools/call",
            Self::ResourcesRead => "resources/read",
            Self::PromptsGet => "prompts/get",
            Self::Complete => "completion/complete",
        }
    }
}

/// Where a request leads.
#[derive(Debug, Clone)]
pub struct Route {
    /// The method.
    pub method: Routed,
    /// The server.
    pub server: ServerName,
    /// What the object is called there.
    pub key: Arc<str>,
    /// Where the client's name for it stands in the request.
    pub span: Span,
    /// What the client calls it.
    pub asked: Arc<str>,
    /// Further servers that may own a URI that nobody lists.
    pub others: Vec<Target>,
}

impl Route {
    /// Finds the way.
    pub fn find(scope: &Scope, catalog: &Catalog, method: Routed, frame: &Frame) -> Result<Self, Refusal> {
        let (span, kind) = object(method, frame)?;
        let Some(asked) = frame.text(span).map(|asked| intern(&asked)) else {
            return Err(Refusal::new(
                INVALID_PARAMS,
                format!("{}: \"{}\" must be a string", method.method(), kind.key()),
            ));
        };
        let found = catalog.find(scope, kind, &asked).map_err(|why| withheld(why, scope, kind, &asked))?;
        let Found { target: Target { server, key }, others } = found;
        Ok(Self { method, server, key, span, asked, others })
    }

    /// The change of the request that names the object as its server does.
    pub fn rename(&self, edits: &mut Edits) {
        if *self.key != *self.asked {
            edits.set(self.span, serde_json::Value::from(&*self.key).to_string());
        }
    }
}

/// What the hub says where a name leads nowhere.
fn withheld(why: Withheld, scope: &Scope, kind: ListKind, asked: &str) -> Refusal {
    let noun = kind.noun();
    match (kind, why) {
        (ListKind::Resources | ListKind::Templates, _) => Refusal::resource(asked),
        (_, Withheld::Unknown) => Refusal::new(INVALID_PARAMS, format!("unknown {noun}: {asked}")),
        (_, Withheld::Off) => Refusal::new(
            INVALID_PARAMS,
            format!("the {noun} {asked} is switched off (overrides of the tenant)"),
        ),
        (_, Withheld::Outside) => {
            let profile = scope.profile.as_ref().map_or("", |profile| profile.as_str());
            Refusal::new(INVALID_PARAMS, format!("the {noun} {asked} is not in the profile {profile:?}"))
        }
    }
}

/// Where a resource's URI may lead, the likeliest first.
pub fn resource_targets(endpoint: &Endpoint, uri: &str) -> Vec<Target> {
    let found = endpoint.catalog().find(&endpoint.scope, ListKind::Resources, &uri.into());
    found.map_or_else(|_| Vec::new(), |Found { target, others }| [vec![target], others].concat())
}

/// The place of the object's name in a request, and what kind of object it is.
fn object(method: Routed, frame: &Frame) -> Result<(Span, ListKind), Refusal> {
    let missing =
        |what: &str| Refusal::new(INVALID_PARAMS, format!("{}: \"{what}\" is missing", method.method()));
    let found =
        |span: Span, kind: ListKind| if span.is_some() { Ok((span, kind)) } else { Err(missing(kind.key())) };
    match method {
        Routed::ToolsCall => found(frame.params.name, ListKind::Tools),
        Routed::PromptsGet => found(frame.params.name, ListKind::Prompts),
        Routed::ResourcesRead => found(frame.params.uri, ListKind::Resources),
        Routed::Complete => {
            let reference = frame.params.reference;
            if frame.raw(reference).first() != Some(&b'{') {
                return Err(missing("ref"));
            }
            let text = frame.parts.clone().whole();
            let (mut name, mut uri, mut prompt) = (Span::default(), Span::default(), false);
            // The frame was scanned before, so what is in it is well-formed.
            let _ = Scanner::at(&text, reference).object(|s, key| {
                let value = s.value()?;
                match key {
                    "name" => name = value,
                    "uri" => uri = value,
                    "type" => prompt = unquoted(value.of(&text)).as_deref() == Some("ref/prompt"),
                    _ => {}
                }
                Ok(())
            });
            if prompt { found(name, ListKind::Prompts) } else { found(uri, ListKind::Templates) }
        }
    }
}
