//! W3C Trace Context, level 1: the one header value, read, continued and written.

use std::fmt;

use crate::id::RequestId;

/// A `traceparent`: which trace an operation belongs to, and its own span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Trace id, 16 bytes, not all zero.
    pub trace_id: u128,
    /// This operation's span id, not zero.
    pub span_id: u64,
    /// The span that caused this one, 0 where there is none.
    pub parent_id: u64,
    /// Trace flags; bit 0 says that the caller may have recorded the trace.
    pub flags: u8,
}

impl Trace {
    /// A new trace. The span of an operation has the digits of its request id: one name for both, in logs, records and
    /// spans alike.
    pub fn start(id: RequestId) -> Self {
        Self { trace_id: fastrand::u128(1..), span_id: id.number(), parent_id: 0, flags: 1 }
    }

    /// An operation's span within the trace that a `traceparent` names; a new trace where it is absent or
    /// malformed, as the recommendation says (W3C Trace Context, 4.3).
    pub fn follow(traceparent: Option<&str>, id: RequestId) -> Self {
        match traceparent.and_then(parse) {
            Some((trace_id, parent_id, flags)) => Self { trace_id, span_id: id.number(), parent_id, flags },
            None => Self::start(id),
        }
    }

    /// Whether its spans are to be gathered, as whoever began the trace has decided.
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }

    /// A child span, for what this operation asks of a server: no operation of ours, so any digits will do.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: fastrand::u64(1..), parent_id: self.span_id, ..self }
    }
}

impl Trace {
    /// Adds the header value to a text. Without the formatter, since every call sends one.
    pub fn append_to(&self, out: &mut String) {
        let mut text = *b"00-................................-................-..";
        hex(&mut text[3..19], (self.trace_id >> 64) as u64);
        hex(&mut text[19..35], self.trace_id as u64);
        hex(&mut text[36..52], self.span_id);
        hex(&mut text[53..55], self.flags.into());
        out.push_str(std::str::from_utf8(&text).unwrap_or_default());
    }
}

/// The span of the operation with a request id, both as texts have them.
pub fn span_of(request: &str) -> String {
    format!("{:0>16}", request.strip_prefix('r').unwrap_or(request))
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(55);
        self.append_to(&mut text);
        f.write_str(&text)
    }
}

/// The last digits of a number, as many as there is room for.
pub(crate) fn hex(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn parse(text: &str) -> Option<(u128, u64, u8)> {
    let lower_hex = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let version = text.get(0..2).filter(|v| lower_hex(v) && *v != "ff")?;
    let (trace, span, flags) = (text.get(3..35)?, text.get(36..52)?, text.get(53..55)?);
    let dashes = [2, 35, 52].iter().all(|&at| text.as_bytes()[at] == b'-');
    let ends = text.len() == 55 || (version != "00" && text.as_bytes()[55] == b'-');
    if !(dashes && ends && lower_hex(trace) && lower_hex(span) && lower_hex(flags)) {
        return None;
    }
    let trace_id = u128::from_str_radix(trace, 16).ok().filter(|&id| id != 0)?;
    let span_id = u64::from_str_radix(span, 16).ok().filter(|&id| id != 0)?;
    Some((trace_id, span_id, u8::from_str_radix(flags, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn continues_a_trace() {
        let given = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";
        let trace = Trace::follow(Some(given), RequestId::from_number(0x20));
        assert_eq!((trace.parent_id, trace.span_id), (0x00f0_67aa_0ba9_02b7, 0x20));
        let written = format!("00-{:032x}-{:016x}-{:02x}", trace.trace_id, trace.span_id, trace.flags);
        assert_eq!(trace.to_string(), written);
        assert!(written.starts_with("00-0af7651916cd43dd8448eb211c80319c-"));
        assert_ne!(trace.to_string(), given);
    }

    #[test]
    fn a_span_has_the_digits_of_its_request() {
        for number in [0x20, u64::MAX] {
            let id = RequestId::from_number(number);
            assert_eq!(span_of(&id.to_string()), format!("{:016x}", Trace::start(id).span_id));
        }
    }

    #[test]
    fn starts_anew_on_what_is_malformed() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-0AF7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01",
            "00-ä",
            "äääääääääääääääääääääääääääääääääääääääääääääääääääääääääää",
        ] {
            assert_eq!(Trace::follow(Some(bad), RequestId::next()).parent_id, 0, "{bad}");
        }
    }
}
