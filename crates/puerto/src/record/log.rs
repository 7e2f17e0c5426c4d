//! One log line per operation, for people or for machines. Written straight from the record, in one write
//! per batch; arguments and results never appear.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::UNIX_EPOCH;

use jiff::Timestamp;
use puerto_core::def::{LogFormat, LogLevel};
use puerto_core::{Code, Outcome, Record};

/// Writes lines to standard error.
pub(crate) struct LogWriter {
    level: LogLevel,
    format: LogFormat,
    lines: String,
    clock: Clock,
}

/// The time of a line. Formatting it costs more than the rest of the line, and most lines fall into the
/// second of the line before.
#[derive(Default)]
struct Clock {
    second: i64,
    text: String,
}

impl Clock {
    fn write(&mut self, out: &mut String, record: &Record) {
        let at = at(record);
        if self.second != at.as_second() || self.text.is_empty() {
            self.second = at.as_second();
            self.text = format!("{at:.0}");
            self.text.pop();
        }
        out.push_str(&self.text);
        out.push('.');
        number(out, at.subsec_millisecond().unsigned_abs().into(), 3);
        out.push('Z');
    }
}

impl LogWriter {
    /// From a level on, in a format.
    pub(crate) fn new(level: LogLevel, format: LogFormat) -> Self {
        Self { level, format, lines: String::new(), clock: Clock::default() }
    }

    /// Adds the line of a record, where its level is shown.
    pub(crate) fn add(&mut self, record: &Record) {
        if level(record) < self.level {
            return;
        }
        match self.format {
            LogFormat::Text => text(&mut self.lines, &mut self.clock, record),
            LogFormat::Json => json(&mut self.lines, record),
        }
    }

    /// Writes what was added.
    pub(crate) fn flush(&mut self) {
        if !self.lines.is_empty() {
            // Nobody reads any more: there is no better place to say so.
            let _ = std::io::stderr().lock().write_all(self.lines.as_bytes());
            self.lines.clear();
        }
    }
}

/// A fault of ours or of a server may need a look; a caller's mistake is ordinary.
fn level(record: &Record) -> LogLevel {
    match record.outcome {
        Outcome::Error(Code::Internal, _) => LogLevel::Error,
        Outcome::Error(_, puerto_core::Origin::Upstream | puerto_core::Origin::Hub) => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}

fn at(record: &Record) -> Timestamp {
    let micros = record.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    Timestamp::from_microsecond(i64::try_from(micros).unwrap_or(i64::MAX)).unwrap_or_default()
}

fn name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "TRACE",
        LogLevel::Debug => "DEBUG",
        LogLevel::Info => "INFO",
        LogLevel::Warn => "WARN",
        LogLevel::Error => "ERROR",
    }
}

fn text(out: &mut String, clock: &mut Clock, record: &Record) {
    clock.write(out, record);
    let level = name(level(record));
    member(out, &"      "[level.len()..], level);
    member(out, " ", record.kind.name());
    member(out, " tenant=", &record.tenant);
    record.server.iter().for_each(|server| member(out, " server=", server));
    record.object.iter().for_each(|object| quoted(out, " object=", object));
    record.client.iter().for_each(|client| quoted(out, " client=", client));
    member(out, " outcome=", record.outcome.name());
    let micros = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
    out.push_str(" ms=");
    number(out, micros / 1000, 1);
    out.push('.');
    number(out, micros % 1000, 3);
    out.push_str(" in=");
    number(out, record.bytes_in, 1);
    out.push_str(" out=");
    number(out, record.bytes_out, 1);
    member(out, " caller=", &record.caller);
    out.push_str(" id=");
    record.request.append_to(out);
    record.detail.iter().for_each(|detail| quoted(out, " detail=", detail));
    out.push('\n');
}

/// A number with at least so many digits.
fn number(out: &mut String, mut number: u64, least: usize) {
    let mut digits = [b'0'; 20];
    let mut from = digits.len();
    while number > 0 || digits.len() - from < least {
        from -= 1;
        digits[from] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.push_str(std::str::from_utf8(&digits[from..]).unwrap_or_default());
}

fn member(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    out.push_str(value);
}

/// A text that somebody else has chosen: nothing in it can look like the rest of the line.
fn quoted(out: &mut String, key: &str, value: &str) {
    out.push_str(key);
    if value.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        // Writing into a string cannot fail.
        let _ = write!(out, "{value:?}");
    }
}

fn json(out: &mut String, record: &Record) {
    let line = serde_json::json!({
        "at": format!("{:.6}", at(record)),
        "level": name(level(record)),
        "message": record.kind.name(),
        "tenant": &*record.tenant,
        "server": record.server.as_deref(),
        "object": record.object.as_deref(),
        "client": record.client.as_deref(),
        "caller": &*record.caller,
        "protocol": record.protocol,
        "outcome": record.outcome.name(),
        "origin": record.outcome.origin().map(puerto_core::Origin::name),
        "duration_ms": record.duration.as_secs_f64() * 1e3,
        "bytes_in": record.bytes_in,
        "bytes_out": record.bytes_out,
        "request_id": record.request.to_string(),
        "trace_id": format!("{:032x}", record.trace.trace_id),
        "span_id": format!("{:016x}", record.trace.span_id),
        "detail": record.detail.as_deref(),
    });
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 7, 10, 999, 1000, u64::MAX] {
            let mut out = String::new();
            number(&mut out, value, 1);
            number(&mut out, value % 1000, 3);
            assert_eq!(out, format!("{value}{:03}", value % 1000));
        }
    }

    #[test]
    fn a_text_of_others_cannot_end_its_quotes() {
        for text in ["plain", "a \"quote\"", "back\\slash", "line\nend", "Hafen ü"] {
            let mut out = String::new();
            quoted(&mut out, " object=", text);
            assert_eq!(out, format!(" object={text:?}"));
        }
    }
}
