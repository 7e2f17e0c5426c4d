//! The only place that writes to standard output and standard error. A reader that has gone, as in
//! `puerto check | head`, is no error of ours: the rest is dropped quietly.

use std::fmt::Display;
use std::io::{self, Write};

/// One line, or several, to standard output.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// What a reader of the output gets byte for byte.
pub(crate) fn bytes(part: &[u8]) {
    let _ = io::stdout().lock().write_all(part);
}

/// One line, or several, to standard error.
pub(crate) fn error_line(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A text of a file of somebody else: what a terminal would act on is written as an escape.
pub(crate) fn harmless(text: &str) -> String {
    // Besides control characters these reorder or hide what stands on the line.
    let hides = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || hides(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}
