//! Words of one's own: templates in the language of Jinja, checked when the configuration is read. They are bounded in
//! steps and in what they write, and reach nothing but the notice.

use std::io;
use std::ops::Range;

use minijinja::{Environment, Error, UndefinedBehavior};
use puerto_core::def::TemplateDef;

use super::document::Document;
use crate::probe::{Fault, Inside};

/// Length of a template, in bytes.
const TEMPLATE_LEN_MAX: usize = 16 * 1024;
/// Steps of one run: a loop over a thousand alerts takes some ten thousand.
const TEMPLATE_STEPS_MAX: u64 = 100_000;
/// What a template may write, in bytes; every receiver takes less of a text.
const TEMPLATE_OUTPUT_MAX: usize = 64 * 1024;

/// What a template can name.
const NAMES: [&str; 14] = [
    "version", "key", "tenant", "channel", "group", "reason", "status", "severity", "labels", "title",
    "text", "alerts", "more", "at",
];

/// The templates of a channel.
#[derive(Debug)]
pub(super) struct Template {
    environment: Environment<'static>,
    has: [bool; 2],
}

/// The parts that can be written otherwise.
const PARTS: [&str; 2] = ["title", "text"];

/// Takes what is written up to the limit, and lets the rest go.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = TEMPLATE_OUTPUT_MAX - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Template {
    /// Reads templates, and tells of what is wrong with them.
    pub(super) fn new(def: &TemplateDef, faults: &mut Vec<Fault>) -> Self {
        let mut environment = Environment::new();
        environment.set_fuel(Some(TEMPLATE_STEPS_MAX));
        // What has no value is written as nothing, also inside of what has none: labels differ from alert to alert.
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        // Each channel escapes as its receiver needs.
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        let mut this = Self { environment, has: [false; 2] };
        for (at, source) in [&def.title, &def.text].into_iter().enumerate() {
            let Some(source) = source else { continue };
            match this.add(PARTS[at], source) {
                Ok(()) => this.has[at] = true,
                Err((why, place)) => faults.push(Fault {
                    key: "template",
                    inside: Inside::Member(PARTS[at].to_owned()),
                    at: place.map(|place| place.start.min(source.len())),
                    why,
                    help: "write as in \"{{ title }}\"; docs/channels.md lists what can be named".into(),
                }),
            }
        }
        this
    }

    fn add(&mut self, part: &'static str, source: &str) -> Result<(), (String, Option<Range<usize>>)> {
        if source.len() > TEMPLATE_LEN_MAX {
            let why = format!("it is {} bytes long, the limit is {TEMPLATE_LEN_MAX}", source.len());
            return Err((why, None));
        }
        let fault = |error: Error| (words(&error), error.range());
        self.environment.add_template_owned(part, source.to_owned()).map_err(fault)?;
        let template = self.environment.get_template(part).map_err(fault)?;
        let unknown = template.undeclared_variables(false).into_iter();
        let mut unknown: Vec<_> = unknown.filter(|name| !NAMES.contains(&name.as_str())).collect();
        unknown.retain(|name| !self.environment.globals().any(|(global, _)| global == name));
        unknown.sort();
        if let Some(name) = unknown.first() {
            let at = source.find(name.as_str()).map(|at| at..at + name.len());
            return Err((format!("a notice has no {name:?}; it has {}", NAMES.join(", ")), at));
        }
        // Filters and tests that do not exist show when they are used.
        self.run(part, &sample()).map_err(fault).map(drop)
    }

    /// Whether everything is said in the usual words.
    pub(super) fn is_empty(&self) -> bool {
        self.has == [false; 2]
    }

    /// The title, where it is written otherwise: one line.
    pub(super) fn title(&self, document: &Document<'_>) -> Option<Result<String, String>> {
        self.part(0, document)
            .map(|done| done.map(|text| text.split_whitespace().collect::<Vec<_>>().join(" ")))
    }

    /// The text, where it is written otherwise.
    pub(super) fn text(&self, document: &Document<'_>) -> Option<Result<String, String>> {
        self.part(1, document)
    }

    fn part(&self, at: usize, document: &Document<'_>) -> Option<Result<String, String>> {
        let document = minijinja::Value::from_serialize(document);
        self.has[at].then(|| self.run(PARTS[at], &document).map_err(|error| words(&error)))
    }

    fn run(&self, part: &str, document: &minijinja::Value) -> Result<String, Error> {
        let mut to = Bounded(Vec::new());
        self.environment.get_template(part)?.render_captured_to(document, &mut to)?;
        // The limit may stand inside a character.
        Ok(String::from_utf8_lossy(&to.0).trim_end_matches('\u{fffd}').to_owned())
    }
}

fn words(error: &Error) -> String {
    let line = error.line().filter(|line| *line > 1).map_or(String::new(), |line| format!(" in line {line}"));
    match error.detail() {
        Some(detail) => format!("{detail}{line}"),
        None => format!("{}{line}", error.kind()),
    }
}

/// A notice to try a template on.
fn sample() -> minijinja::Value {
    let alert = serde_json::json!({
        "id": "1", "rule": "down", "subject": "shop", "status": "firing", "severity": "critical",
        "labels": { "service": "shop" }, "summary": "shop is down", "description": "no answer", "value": 1.0,
        "since": "2026-11-22T05:00:00Z", "until": null, "held": "5 min 0 s",
    });
    minijinja::Value::from_serialize(serde_json::json!({
        "version": "1", "key": "k", "tenant": "default", "channel": "c", "group": "g", "reason": "fired",
        "status": "firing", "severity": "critical", "labels": { "service": "shop" }, "title": "shop is down",
        "text": "shop is down", "alerts": [alert], "more": 0, "at": "2026-11-22T05:05:00Z",
    }))
}
