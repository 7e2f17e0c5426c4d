//! Profiles: named subsets of what a tenant's servers offer, for clients that need less than everything.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Capability;
use crate::id::ServerName;
use crate::pattern::Choice;

/// A named subset, served at `/mcp/{tenant}?profile=name`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileDef {
    /// For people, and as advice for models.
    pub description: Option<String>,
    /// How its tools are shown.
    pub kind: ProfileKind,
    /// Servers in it; all where left out.
    pub servers: Option<Vec<ServerName>>,
    /// Tools in it, by canonical name or pattern, `!` before one leaves out; all where left out.
    pub tools: Option<Vec<Choice>>,
    /// Prompts in it, likewise.
    pub prompts: Option<Vec<Choice>>,
    /// Resources and templates in it, by `server.uri`, likewise.
    pub resources: Option<Vec<Choice>>,
    /// Tools that are listed beside those to search with (`search`).
    pub pinned: Vec<Choice>,
}

/// How a profile shows its tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProfileKind {
    /// Each by itself.
    #[default]
    List,
    /// Three tools stand for all: `search_tools`, `describe_tools`, `call_tool`.
    Search,
}

impl ProfileDef {
    /// Whether an object belongs to it.
    pub fn has(&self, kind: Capability, server: &ServerName, key: &str) -> bool {
        let choices = match kind {
            Capability::Tools => &self.tools,
            Capability::Prompts => &self.prompts,
            Capability::Resources => &self.resources,
        };
        self.servers.as_ref().is_none_or(|servers| servers.contains(server))
            && choices.as_ref().is_none_or(|choices| Choice::lets_in(choices, server, key))
    }
}
