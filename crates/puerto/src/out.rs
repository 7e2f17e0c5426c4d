//! The only place that writes to standard output and standard error. A reader that has gone, as in
//! `puerto check | head`, is no error of ours: the rest is dropped quietly.

use std::fmt::Display;
use std::io::{self, Write};

/// One line, or several, to standard output.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stdout().lock(), "{text}");
}

/// One line, or several, to standard error.
pub(crate) fn error_line(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
