//! Badges: small pictures for the README of a service. White on colours that are dark enough for it, with a rim of
//! their own, so that they can be read on light and on dark ground.

use super::PublicService;
use super::html::{Text, milliseconds, percent, word};

/// Room beside a text, in pixels.
const ROOM: f64 = 6.0;
/// Uptime in percent from which on a badge is green, and amber.
const UPTIMES: [f64; 2] = [99.9, 95.0];

const GREEN: &str = "#1a7f37";
const AMBER: &str = "#8a5a00";
const RED: &str = "#c0262d";
const BLUE: &str = "#0b63a5";
const GREY: &str = "#57606a";
/// Below the label.
const DARK: &str = "#3b444d";

/// The colour of a state; white can be read on each.
pub(super) fn colour(state: &str) -> &'static str {
    match state {
        "ok" => GREEN,
        "down" => RED,
        "flapping" => AMBER,
        "maintenance" => BLUE,
        _ => GREY,
    }
}

/// How a service is.
pub(super) fn health(service: &PublicService) -> String {
    draw(&service.name, "health", word(service.state), colour(service.state))
}

/// How often it was good over some days.
pub(super) fn uptime(service: &PublicService, days: u32) -> String {
    let uptime = &service.uptime;
    let share = match days {
        1 => uptime.day,
        7 => uptime.week,
        30 => uptime.month,
        _ => uptime.quarter,
    };
    let colour = match share {
        None => GREY,
        Some(share) if share >= UPTIMES[0] => GREEN,
        Some(share) if share >= UPTIMES[1] => AMBER,
        Some(_) => RED,
    };
    draw(&service.name, &format!("uptime {days}d"), &percent(share), colour)
}

/// How long its checks took over a day.
pub(super) fn response(service: &PublicService) -> String {
    match service.response_ms {
        Some(took) => draw(&service.name, "response", &milliseconds(took), BLUE),
        None => draw(&service.name, "response", "not known", GREY),
    }
}

/// About how wide a text is in Verdana of 11 pixels, in which badges are set. A browser with another font fits the
/// text to this width.
fn width(text: &str) -> f64 {
    let of = |c: char| match c {
        'i' | 'j' | 'l' => 3.0,
        'f' | 't' | 'I' | '.' | ',' | ':' | ' ' | '-' => 4.4,
        'r' | 's' | 'c' | 'k' | 'v' | 'x' | 'y' | 'z' => 5.8,
        'm' | 'M' | '%' => 11.0,
        'w' | 'W' => 9.4,
        _ => 7.0,
    };
    text.chars().map(of).sum()
}

/// A label and what it says.
fn draw(service: &str, label: &str, value: &str, colour: &str) -> String {
    let (left, right) = (width(label), width(value));
    let (split, whole) = (left + 2.0 * ROOM, left + right + 4.0 * ROOM);
    let (service, value) = (Text(service), Text(value));
    let said = format!("{service}: {label} {value}");
    let text = |x: f64, width: f64, text: &dyn std::fmt::Display| {
        format!("<text x=\"{x:.1}\" y=\"14\" textLength=\"{width:.1}\">{text}</text>")
    };
    let (one, other) = (text(ROOM, left, &label), text(split + ROOM, right, &value));
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole:.1}\" height=\"20\" role=\"img\" aria-label=\"{said}\">\
         <title>{said}</title>\
         <rect width=\"{whole:.1}\" height=\"20\" rx=\"4\" fill=\"{colour}\"/>\
         <path d=\"M4 0H{split:.1}V20H4a4 4 0 0 1-4-4V4a4 4 0 0 1 4-4z\" fill=\"{DARK}\"/>\
         <rect x=\".5\" y=\".5\" width=\"{:.1}\" height=\"19\" rx=\"3.5\" fill=\"none\" stroke=\"#fff\" stroke-opacity=\".25\"/>\
         <g fill=\"#fff\" font-family=\"Verdana,DejaVu Sans,sans-serif\" font-size=\"11\">{one}{other}</g></svg>\n",
        whole - 1.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance, as WCAG 2 defines it.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    #[test]
    fn white_can_be_read_on_every_colour() {
        for colour in [GREEN, AMBER, RED, BLUE, GREY, DARK] {
            let contrast = 1.05 / (luminance(colour) + 0.05);
            assert!(contrast >= 4.5, "{colour}: {contrast}");
        }
    }

    #[test]
    fn a_badge_is_as_wide_as_what_it_says() {
        let short = draw("shop", "health", "up", GREEN);
        assert!(short.contains("<title>shop: health up</title>"), "{short}");
        assert!(short.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"73.4\""), "{short}");
        let long = draw("shop", "health", "not checked yet", GREY);
        assert!(width("not checked yet") > 4.0 * width("up") && long.contains("width=\"149.2\""), "{long}");
    }
}
