//! Tasks, as defined: where saved lists lie, how many run at the same time, and which run by the clock.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::TenantId;

/// Tasks: lists of calls that run in the background.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TasksDef {
    /// Directory that holds saved task lists, `NAME.json` each.
    pub dir: String,
    /// Tasks that run at the same time; further ones wait.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// Saved lists that run by the clock, by a name of their own.
    pub schedules: BTreeMap<String, ScheduleDef>,
}

impl Default for TasksDef {
    fn default() -> Self {
        // Each has one call under way unless it asks for more; the servers have limits of their own.
        Self { dir: "config".into(), concurrency: 4, schedules: BTreeMap::new() }
    }
}

/// A saved list that runs by the clock.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleDef {
    /// When: minute, hour, day of month, month, day of week, and before them seconds where there are six.
    pub cron: String,
    /// Whose clock, such as `Europe/Berlin`.
    #[serde(default = "ScheduleDef::utc")]
    pub timezone: String,
    /// The saved list.
    pub task: String,
    /// The tenant whose servers it uses.
    #[serde(default)]
    pub tenant: TenantId,
    /// How soon it runs among those that wait.
    #[serde(default)]
    pub priority: Priority,
    /// What happens when it is time and the one before is not over.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens after a time without a hub.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Whether it runs at all.
    #[serde(default = "super::yes")]
    pub enabled: bool,
}

impl ScheduleDef {
    fn utc() -> String {
        "UTC".into()
    }
}

/// How soon a task runs among those that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before others.
    High,
    /// In the order in which they came.
    #[default]
    Normal,
    /// After others.
    Low,
}

impl Priority {
    /// Every one.
    pub const ALL: [Priority; 3] = [Priority::High, Priority::Normal, Priority::Low];

    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Normal => "normal",
            Priority::Low => "low",
        }
    }

    /// Its place among the numbers that may stand for it; the greatest first.
    pub const fn number(self) -> i64 {
        match self {
            Priority::High => 10,
            Priority::Normal => 0,
            Priority::Low => -10,
        }
    }
}

/// What happens when it is time and the one before is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It is left out, and an event says so.
    #[default]
    Skip,
    /// It waits with the others.
    Queue,
}

/// What happens after a time without a hub.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// What was missed is left out.
    #[default]
    None,
    /// The last one that was missed is done.
    Last,
}
