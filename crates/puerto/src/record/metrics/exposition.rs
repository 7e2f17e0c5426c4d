//! How metrics are written for who asks. OpenMetrics is what the registry writes; the older text (0.0.4) is for
//! scrapers that do not ask for it. They differ little: in the older text the family of a counter is called as its
//! samples are, with `_total`, and `# UNIT` and `# EOF` do not exist. Who needs the numbers in this program reads the
//! text, so that everybody is told the same.

use std::collections::BTreeMap;

use http::HeaderMap;
use http::header::ACCEPT;

use super::list::{self, Kind};

/// The two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Text,
}

impl Form {
    /// Its content type.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Form::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Form::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The form that a request wants more; the older text where it says nothing.
    pub(crate) fn wanted(headers: &HeaderMap) -> Self {
        let accepted: Vec<_> =
            headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
        let weight = |kind: &str| {
            let ranges = accepted.iter().flat_map(|value| value.split(','));
            let given = ranges.filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                parts.next().filter(|name| name.eq_ignore_ascii_case(kind))?;
                let weight = parts.find_map(|part| part.strip_prefix("q="));
                Some(weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
            });
            given.fold(0.0, f64::max)
        };
        let (open, text) = (weight("application/openmetrics-text"), weight("text/plain"));
        if open > 0.0 && open >= text { Form::OpenMetrics } else { Form::Text }
    }

    /// A text of OpenMetrics in this form.
    pub(super) fn of(self, text: String) -> String {
        if self == Form::OpenMetrics {
            return text;
        }
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            let mut words = line.splitn(4, ' ');
            match (words.next(), words.next(), words.next(), words.next()) {
                (Some("#"), Some("UNIT" | "EOF"), ..) => continue,
                (Some("#"), Some(word @ ("HELP" | "TYPE")), Some(name), Some(rest)) if is_counter(name) => {
                    out.extend(["# ", word, " ", name, "_total ", rest]);
                }
                _ => out.push_str(line),
            }
            out.push('\n');
        }
        out
    }
}

fn is_counter(family: &str) -> bool {
    let counters = list::ALL.iter().filter(|metric| metric.kind == Kind::Counter);
    counters.filter_map(|metric| metric.name.strip_suffix("_total")).any(|name| name == family)
}

/// A line of a scrape: name, labels, value.
pub(crate) fn series(line: &str) -> Option<(&str, BTreeMap<String, String>, f64)> {
    if line.starts_with('#') {
        return None;
    }
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let mut labels = BTreeMap::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        while let Some((label, behind)) = inside.split_once("=\"") {
            let (value, after) = quoted(behind)?;
            labels.insert(label.trim_start_matches(',').to_owned(), value);
            inside = after;
            if let Some(behind) = inside.strip_prefix('}') {
                inside = behind;
                break;
            }
        }
        rest = inside.strip_prefix('}').unwrap_or(inside);
    }
    let value = rest.split_whitespace().next()?.parse().ok()?;
    Some((name, labels, value))
}

/// A text up to its closing quote, and what stands behind that.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(match chars.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Form::wanted(&headers)
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Text);
        for accept in [
            // Prometheus 2.42 and 3.5.
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,*/*;q=0.2",
            "application/openmetrics-text",
        ] {
            assert_eq!(wanted(accept), Form::OpenMetrics, "{accept}");
        }
        for accept in [
            "*/*",
            "text/plain",
            "application/json",
            "application/openmetrics-text;q=0.3, text/plain;q=0.4",
            "application/openmetrics-text;q=0",
        ] {
            assert_eq!(wanted(accept), Form::Text, "{accept}");
        }
    }

    #[test]
    fn the_older_text_has_no_words_of_the_newer() {
        let open = "# HELP puerto_payload_bytes Bytes.\n# TYPE puerto_payload_bytes counter\n# UNIT puerto_payload_bytes bytes\n\
            puerto_payload_bytes_total{direction=\"# EOF\"} 7\n# HELP puerto_server_up 1 where.\n# TYPE puerto_server_up gauge\n# EOF\n";
        let text = "# HELP puerto_payload_bytes_total Bytes.\n# TYPE puerto_payload_bytes_total counter\n\
            puerto_payload_bytes_total{direction=\"# EOF\"} 7\n# HELP puerto_server_up 1 where.\n# TYPE puerto_server_up gauge\n";
        assert_eq!(Form::Text.of(open.into()), text);
        assert_eq!(Form::OpenMetrics.of(open.into()), open);
    }

    #[test]
    fn lines_of_a_scrape_are_read() {
        for (line, name, labels, value) in [
            ("up 1", "up", vec![], 1.0),
            (
                "n_total{a=\"b\",c=\"d, \\\"e\\\"}\\\\\"} 2.5e3 1700",
                "n_total",
                vec![("a", "b"), ("c", "d, \"e\"}\\")],
                2500.0,
            ),
            ("empty{} 3", "empty", vec![], 3.0),
        ] {
            let read = series(line).unwrap();
            let labels =
                labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            assert_eq!(read, (name, labels, value), "{line}");
        }
        for line in ["# HELP up Whether", "", "up", "up{a=\"b} 1"] {
            assert_eq!(series(line), None, "{line}");
        }
    }
}
