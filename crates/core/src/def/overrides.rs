//! Overrides: what a tenant changes in what its servers offer, without touching the servers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Capability;
use crate::pattern::Pattern;

/// Overrides by the object's canonical name, `server.tool`, or by a pattern such as `files.*` or `*.delete_*`. Of
/// several that fit, the one that fixes more of the name counts more, member by member.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverridesDef {
    /// Tools.
    pub tools: BTreeMap<Pattern, OverrideDef>,
    /// Prompts.
    pub prompts: BTreeMap<Pattern, OverrideDef>,
    /// Resources and templates, by `server.uri`.
    pub resources: BTreeMap<Pattern, OverrideDef>,
}

impl OverridesDef {
    /// Those for one kind of object.
    pub fn of(&self, kind: Capability) -> &BTreeMap<Pattern, OverrideDef> {
        match kind {
            Capability::Tools => &self.tools,
            Capability::Prompts => &self.prompts,
            Capability::Resources => &self.resources,
        }
    }
}

/// What is changed of an object; what is left out stays as its server gives it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverrideDef {
    /// Whether it exists for callers.
    pub enabled: Option<bool>,
    /// The name that clients see in place of its own. Its canonical name stays. Not with a pattern.
    pub name: Option<String>,
    /// The title for people.
    pub title: Option<String>,
    /// What models are told of it.
    pub description: Option<String>,
    /// Hints to set over the server's own (`readOnlyHint`, `audience` …); `null` takes one away. Prompts have none.
    pub annotations: Option<serde_json::Map<String, serde_json::Value>>,
}

impl OverrideDef {
    /// Takes over what another one says.
    pub fn take(&mut self, other: &Self) {
        fn put<T: Clone>(mine: &mut Option<T>, theirs: &Option<T>) {
            if theirs.is_some() {
                mine.clone_from(theirs);
            }
        }
        put(&mut self.enabled, &other.enabled);
        put(&mut self.name, &other.name);
        put(&mut self.title, &other.title);
        put(&mut self.description, &other.description);
        if let Some(theirs) = &other.annotations {
            self.annotations.get_or_insert_default().extend(theirs.clone());
        }
    }
}
