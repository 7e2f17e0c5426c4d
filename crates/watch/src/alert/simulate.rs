//! A history played back: which notices a configuration would have sent when, and what it would have kept back, and why.
//! A history has one JSON object in a line: `at`, and a signal or what a person did.

use std::collections::{BTreeMap, HashSet};
use std::mem::{Discriminant, discriminant};
use std::time::Duration;

use jiff::Timestamp;
use puerto_core::TenantId;
use puerto_core::def::{AlertsDef, Span};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::book::Silence;
use super::hold::Held;
use super::judge::millis;
use super::matcher::Labels;
use super::notice::Notice;
use super::pipeline::Pipeline;
use super::signal::Signal;

/// Notices and reasons of one simulation; what goes on for longer is cut.
pub const MOMENTS_MAX: usize = 100_000;

/// Something that a simulation says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Moment {
    /// A notice goes out.
    Notice(Notice),
    /// Nobody is told of an alert from now on.
    Held {
        /// When, in milliseconds since 1970.
        at_ms: i64,
        /// The alert.
        id: String,
        /// Its rule.
        rule: String,
        /// What it is about.
        subject: String,
        /// Why.
        because: String,
    },
}

impl Moment {
    /// When, in milliseconds since 1970.
    pub const fn at_ms(&self) -> i64 {
        match self {
            Moment::Notice(notice) => notice.at_ms,
            Moment::Held { at_ms, .. } => *at_ms,
        }
    }
}

/// Why a history cannot be played back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}")]
pub struct Fault {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// What a line of a history says.
enum Step {
    Signal(Signal),
    Acknowledge(Acknowledge),
    Silence(Quieten),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acknowledge {
    subject: String,
    #[serde(default)]
    who: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quieten {
    #[serde(default)]
    tenant: TenantId,
    #[serde(rename = "match")]
    matchers: Labels,
    #[serde(rename = "for")]
    lasts: Span,
    #[serde(default)]
    who: String,
    reason: String,
}

/// Plays a history back, and lets some time pass after it.
///
/// # Errors
/// Where a line cannot be read, is earlier than the one before, or says what cannot be done.
pub fn simulate(def: AlertsDef, history: &str, after: Duration) -> Result<Vec<Moment>, Fault> {
    let mut play =
        Play { pipeline: Pipeline::new(def), now_ms: 0, held: BTreeMap::new(), moments: Vec::new() };
    let mut is_first = true;
    for (at, line) in history.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let fault = |why: String| Fault { line: at + 1, why };
        let (time, step) = read(line).map_err(fault)?;
        if is_first {
            play.now_ms = time;
            is_first = false;
        }
        if time < play.now_ms {
            return Err(fault("it is earlier than the line before".into()));
        }
        play.pass(time);
        play.act(step).map_err(fault)?;
    }
    play.pass(play.now_ms.saturating_add(millis(after)));
    Ok(play.moments)
}

fn read(line: &str) -> Result<(i64, Step), String> {
    let mut members: Map<String, Value> = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let at = members.remove("at").ok_or("it lacks \"at\", its time")?;
    let time = match &at {
        Value::String(text) => text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond),
        other => other.as_i64(),
    };
    let time = time.ok_or_else(|| {
        format!("{at} is no time: write it as \"2026-11-30T22:00:00Z\", or in milliseconds since 1970")
    })?;
    let (Some(key), 1) = (members.keys().next().cloned(), members.len()) else {
        return Err("beside \"at\" it needs one of service, metric, event, burn, anomaly, foreign, \
                    acknowledge, silence"
            .into());
    };
    let bad = |error: serde_json::Error| error.to_string();
    let step = match key.as_str() {
        "acknowledge" => Step::Acknowledge(serde_json::from_value(members[&key].take()).map_err(bad)?),
        "silence" => Step::Silence(serde_json::from_value(members[&key].take()).map_err(bad)?),
        _ => Step::Signal(serde_json::from_value(Value::Object(members)).map_err(bad)?),
    };
    Ok((time, step))
}

struct Play {
    pipeline: Pipeline,
    now_ms: i64,
    /// What was said last of why nobody is told of an alert.
    held: BTreeMap<String, HashSet<Discriminant<Held>>>,
    moments: Vec<Moment>,
}

impl Play {
    fn act(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Signal(signal) => self.pipeline.observe(&signal, self.now_ms),
            Step::Acknowledge(said) => {
                let all = self.pipeline.alerts(None, self.now_ms);
                let meant = all.iter().filter(|view| view.alert.subject == said.subject);
                let ids: Vec<_> = meant.map(|view| view.alert.id.clone()).collect();
                if ids.is_empty() {
                    return Err(format!("nothing is wrong with {:?} then", said.subject));
                }
                for id in ids {
                    let done = self.pipeline.acknowledge(None, &id, &said.who, &said.reason, self.now_ms);
                    done.map_err(|error| error.to_string())?;
                }
            }
            Step::Silence(said) => {
                let silence = Silence {
                    id: String::new(),
                    tenant: said.tenant,
                    matchers: said.matchers,
                    who: said.who,
                    reason: said.reason,
                    from_ms: self.now_ms,
                    until_ms: self.now_ms.saturating_add(millis(said.lasts.get())),
                };
                self.pipeline.silence(silence, self.now_ms).map_err(|error| error.to_string())?;
            }
        }
        self.tick();
        Ok(())
    }

    fn pass(&mut self, until_ms: i64) {
        while self.moments.len() < MOMENTS_MAX
            && let Some(wake) = self.pipeline.next_wake(self.now_ms).filter(|wake| *wake <= until_ms)
        {
            self.now_ms = wake;
            self.tick();
        }
        self.now_ms = self.now_ms.max(until_ms);
    }

    fn tick(&mut self) {
        let notices = self.pipeline.tick(self.now_ms);
        self.moments.extend(notices.into_iter().map(Moment::Notice));
        let mut held = BTreeMap::new();
        for view in self.pipeline.alerts(None, self.now_ms) {
            let before = self.held.get(&view.alert.id);
            for reason in &view.held {
                if before.is_none_or(|before| !before.contains(&discriminant(reason))) {
                    self.moments.push(Moment::Held {
                        at_ms: self.now_ms,
                        id: view.alert.id.clone(),
                        rule: view.alert.rule.clone(),
                        subject: view.alert.subject.clone(),
                        because: reason.to_string(),
                    });
                }
            }
            held.insert(view.alert.id, view.held.iter().map(discriminant).collect());
        }
        self.held = held;
    }
}
