//! The status page as one HTML document: no script, nothing from elsewhere, light or dark as the visitor likes it.

use std::fmt::{self, Display, Write as _};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Day, Group, PublicService, StatusPage};

const STYLE: &str = include_str!("page.css");

/// Share of good checks from which on a day of some bad ones is shown as a small trouble.
const SMALL_TROUBLE: f64 = 95.0;

/// What the page may load: its own style and its icon, and nothing else.
pub(super) fn policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
        format!(
            "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
        )
    });
    &POLICY
}

/// A text of somebody else's, for HTML and for SVG.
pub(super) struct Text<'a>(pub(super) &'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

/// A share in percent, never rounded up: what failed once is not 100 %.
pub(super) fn percent(share: Option<f64>) -> String {
    match share {
        None => "not known".into(),
        Some(share) if share >= 100.0 => "100 %".into(),
        Some(share) => format!("{:.2} %", (share * 100.0).floor() / 100.0),
    }
}

/// A length of time in milliseconds, with a digit more where it is short.
pub(super) fn milliseconds(took: f64) -> String {
    if took < 10.0 { format!("{took:.1} ms") } else { format!("{took:.0} ms") }
}

/// A time, as `22 Nov 2026, 06:30 UTC`.
struct Time(i64);

impl Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Timestamp::from_millisecond(self.0).unwrap_or_default();
        let shown = at.strftime("%-d %b %Y, %H:%M UTC");
        write!(f, "<time datetime=\"{}\">{shown}</time>", at.strftime("%FT%TZ"))
    }
}

/// A state in the words of the page.
pub(super) fn word(state: &str) -> &str {
    match state {
        "ok" => "up",
        "flapping" => "unstable",
        "pending" => "not checked yet",
        other => other,
    }
}

/// The document.
pub(super) fn page(page: &StatusPage) -> String {
    let mut out = String::with_capacity(8 * 1024 + page.total * 12 * 1024);
    // A string takes whatever is written to it.
    let _ = write_page(&mut out, page);
    out
}

fn write_page(out: &mut String, page: &StatusPage) -> fmt::Result {
    let (title, state) = (Text(&page.title), page.state);
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}: {}</title>\n\
         <link rel=\"icon\" href=\"{}\">\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n",
        page.summary,
        icon(state),
    )?;
    if let Some(description) = &page.description {
        writeln!(out, "<p class=\"soft\">{}</p>", Text(description))?;
    }
    writeln!(out, "<p class=\"all {state}\"><span>{}</span></p>", page.summary)?;
    let all = || page.groups.iter().flat_map(|group| &group.services);
    let open: Vec<_> = all().filter(|one| ["down", "flapping"].contains(&one.state)).collect();
    let work: Vec<_> = all().filter(|one| one.state == "maintenance").collect();
    write_list(out, "Open problems", &open, page.at)?;
    write_list(out, "Announced work", &work, page.at)?;
    page.groups.iter().try_for_each(|group| write_group(out, group))?;
    write_foot(out, page)
}

/// What is wrong, or worked on: which service, and since when.
fn write_list(out: &mut String, heading: &str, services: &[&PublicService], now: i64) -> fmt::Result {
    if services.is_empty() {
        return Ok(());
    }
    writeln!(out, "<h2>{heading}</h2>\n<ul class=\"card\">")?;
    for one in services {
        let (state, since) = (one.state, Time(one.since));
        write!(out, "<li><span class=\"state {state}\">{}</span>: ", Text(&one.name))?;
        write!(out, "{} since {since} ({})", word(state), lasted(now - one.since))?;
        if let Some(until) = one.maintenance_until {
            write!(out, ", until {}", Time(until))?;
        }
        writeln!(out, "</li>")?;
    }
    writeln!(out, "</ul>")
}

/// A length of time in milliseconds, in its largest unit.
fn lasted(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    let of = |count: i64, unit: &str| format!("{count} {unit}{}", if count == 1 { "" } else { "s" });
    match minutes {
        0 => "less than a minute".into(),
        1..120 => of(minutes, "minute"),
        120..2_880 => of(minutes / 60, "hour"),
        _ => of(minutes / 1_440, "day"),
    }
}

fn write_group(out: &mut String, group: &Group) -> fmt::Result {
    writeln!(out, "<h2>{}</h2>\n<ul class=\"card\">", Text(group.name.as_deref().unwrap_or("Services")))?;
    for one in &group.services {
        write_service(out, one)?;
    }
    writeln!(out, "</ul>")
}

fn write_service(out: &mut String, one: &PublicService) -> fmt::Result {
    let (name, state, uptime) = (Text(&one.name), one.state, percent(one.uptime.quarter));
    write!(
        out,
        "<li>\n<div class=\"head\"><h3>{name}</h3><span class=\"state {state}\">{}</span></div>\n",
        word(state)
    )?;
    if let Some(description) = &one.description {
        writeln!(out, "<p class=\"soft\">{}</p>", Text(description))?;
    }
    let (count, width) = (one.days.len(), one.days.len() * 4 - 1);
    write!(
        out,
        "<svg viewBox=\"0 0 {width} 32\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"uptime by day over {count} days, {uptime} in all\">"
    )?;
    for (at, day) in one.days.iter().enumerate() {
        write_day(out, at, day)?;
    }
    writeln!(out, "</svg>")?;
    write!(out, "<div class=\"ends\"><span>{count} days ago</span><span>uptime <b>{uptime}</b>")?;
    if let Some(took) = one.response_ms {
        write!(out, " · {}", milliseconds(took))?;
    }
    writeln!(out, "</span><span>today</span></div>\n</li>")
}

/// A bar; the worse the day, the shorter, so that nobody has to tell colours apart.
fn write_day(out: &mut String, at: usize, day: &Day) -> fmt::Result {
    let (class, height) = match day.uptime {
        None => ('n', 6),
        Some(share) if share >= 100.0 => ('g', 32),
        Some(share) if share >= SMALL_TROUBLE => ('p', 26),
        Some(_) => ('b', 18),
    };
    let said = match day.uptime {
        None => "not checked".into(),
        share => percent(share),
    };
    write!(
        out,
        "<rect class=\"{class}\" x=\"{}\" y=\"{}\" width=\"3\" height=\"{height}\"><title>{}: {said}</title></rect>",
        at * 4,
        32 - height,
        day.date,
    )
}

fn write_foot(out: &mut String, page: &StatusPage) -> fmt::Result {
    write!(out, "<footer>")?;
    if page.left_out > 0 {
        write!(out, "{} more services are not shown. ", page.left_out)?;
    }
    writeln!(
        out,
        "As of {}. Days are those of UTC. <a href=\"{}.json\">The same as data</a></footer>\n</main>\n</body>\n</html>",
        Time(page.at),
        page.tenant
    )
}

/// A dot in the colour of the state, for the tab of a browser.
fn icon(state: &str) -> String {
    let colour = super::badge::colour(state).trim_start_matches('#');
    format!(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'%3E\
         %3Ccircle cx='4' cy='4' r='3.5' fill='%23{colour}'/%3E%3C/svg%3E"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_texts() {
        let hostile = "</title><script>alert('x')</script>&\"\u{1b}";
        let said = Text(hostile).to_string();
        assert_eq!(said, "&lt;/title&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot; ");
    }

    #[test]
    fn what_failed_once_is_not_whole() {
        assert_eq!(percent(Some(99.999)), "99.99 %");
        assert_eq!(percent(Some(100.0)), "100 %");
        assert_eq!(percent(None), "not known");
    }

    #[test]
    fn lengths_of_time_are_said_in_their_largest_unit() {
        let said = [59_999, 60_000, 7_199_999, 7_200_000, 172_799_999, 172_800_000, -1].map(lasted);
        let expected = [
            "less than a minute",
            "1 minute",
            "119 minutes",
            "2 hours",
            "47 hours",
            "2 days",
            "less than a minute",
        ];
        assert_eq!(said, expected);
    }
}
