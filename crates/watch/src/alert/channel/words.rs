//! What a notice says, in words for people: a title, and a block of lines for each alert. Plain text; each channel
//! escapes and cuts it as its receiver needs.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::document::Document;
use super::template::Template;
use crate::alert::{Alerted, Notice, Reason};

/// The words of one notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Words {
    /// One line.
    pub(super) title: String,
    /// What there is to say, a block for each alert.
    pub(super) blocks: Vec<String>,
    /// Alerts that no block tells of.
    pub(super) unsaid: u32,
}

impl Words {
    /// Those of a notice. Where a template fails the usual words stand in its place, with a note of why: an alert is not
    /// lost by it.
    pub(super) fn of(notice: &Notice, template: &Template, now_ms: i64) -> Self {
        let mut words = Self {
            title: title(notice),
            blocks: notice.alerts.iter().map(|alert| block(alert, now_ms)).collect(),
            unsaid: notice.more,
        };
        if template.is_empty() {
            return words;
        }
        let document = Document::of(notice, &words);
        let (title, text) = (template.title(&document), template.text(&document));
        drop(document);
        match title {
            Some(Ok(title)) => words.title = title,
            Some(Err(why)) => words.blocks.push(format!("(the template of the title failed: {why})")),
            None => {}
        }
        match text {
            Some(Ok(text)) => (words.blocks, words.unsaid) = (vec![text], 0),
            Some(Err(why)) => words.blocks.push(format!("(the template of the text failed: {why})")),
            None => {}
        }
        words
    }

    /// The blocks as one text.
    pub(super) fn text(&self) -> String {
        let mut text = self.blocks.join("\n\n");
        if self.unsaid > 0 {
            let _ = write!(text, "\n\nand {} more", self.unsaid);
        }
        text
    }
}

fn title(notice: &Notice) -> String {
    let severity = notice.severity().name().to_uppercase();
    let mark = match notice.reason {
        Reason::Fired => severity,
        Reason::Changed => format!("PARTLY RESOLVED, {severity}"),
        Reason::Reminder => format!("STILL {severity}"),
        Reason::Escalated => format!("ESCALATED, {severity}"),
        Reason::Resolved => "RESOLVED".into(),
        Reason::Test => "TEST".into(),
    };
    let all = notice.alerts.len() + notice.more as usize;
    match notice.alerts.first() {
        Some(first) if all == 1 => format!("[{mark}] {}", line(&first.summary)),
        Some(first) => format!("[{mark}] {all} alerts: {}", line(&first.summary)),
        None => format!("[{mark}] {}", line(&notice.group)),
    }
}

fn block(alert: &Alerted, now_ms: i64) -> String {
    let mut text = match alert.until_ms {
        None => format!("{}: {}", alert.severity, line(&alert.summary)),
        Some(_) => format!("resolved: {}", line(&alert.summary)),
    };
    for said in alert.description.lines().map(line).filter(|line| !line.is_empty()) {
        let _ = write!(text, "\n{said}");
    }
    if let Some(value) = alert.value {
        let _ = write!(text, "\nvalue: {value}");
    }
    let _ = match alert.until_ms {
        None => write!(
            text,
            "\nsince {}, for {}",
            moment(alert.since_ms),
            span(now_ms.saturating_sub(alert.since_ms))
        ),
        Some(until) => write!(
            text,
            "\nfrom {} to {}, for {}",
            moment(alert.since_ms),
            moment(until),
            span(until.saturating_sub(alert.since_ms))
        ),
    };
    let labels: Vec<_> = alert.labels.iter().map(|(name, value)| line(&format!("{name}={value}"))).collect();
    if !labels.is_empty() {
        let _ = write!(text, "\n{}", labels.join(", "));
    }
    text
}

/// A text as one line, without what a terminal would act on or what turns letters around.
fn line(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line: String = text
        .chars()
        .filter(|c| !turns(*c))
        .map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c })
        .collect();
    line.trim().to_owned()
}

/// A point in time, for people: in UTC, to the second.
pub(super) fn moment(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.strftime("%F %T UTC").to_string())
}

/// A point in time, for programs.
pub(super) fn stamp(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}

/// A length of time, for people: its two greatest units.
pub(super) fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
