//! From text to a condition.

use super::{CONDITION_LEN_MAX, Condition, Operator, Part, Place, Side, Step};

/// Why a text is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}; {help}")]
pub struct Fault {
    /// Where, in bytes.
    pub at: usize,
    /// What was found there.
    pub why: String,
    /// How to mend it.
    pub help: String,
}

/// Longest operators first, so that `<=` is not read as `<`.
const OPERATORS: [(&str, Operator); 6] = [
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

fn fault<T>(at: usize, why: impl Into<String>, help: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { at, why: why.into(), help: help.into() })
}

pub(super) fn condition(text: &str) -> Result<Condition, Fault> {
    if text.len() > CONDITION_LEN_MAX {
        let why = format!("it has {} bytes", text.len());
        return fault(CONDITION_LEN_MAX, why, format!("a condition has at most {CONDITION_LEN_MAX}"));
    }
    let Some((at, sign, operator)) = operator(text) else {
        let help = "write it as in \"[STATUS] == 200\", with one of == != < <= > >= and blanks around it";
        return fault(0, "it compares nothing", help);
    };
    let right = at + sign.len();
    if let Some((again, sign, _)) = self::operator(&text[right..]) {
        return fault(
            right + again,
            format!("there is a second {sign}"),
            "a condition compares two things: write two conditions",
        );
    }
    let left = side(&text[..at], 0)?;
    let right = side(&text[right..], right)?;
    let ordered = !matches!(operator, Operator::Equal | Operator::NotEqual);
    if ordered
        && [&left, &right].iter().any(|side| matches!(side, Side::Like(_) | Side::Any(_) | Side::Has(_)))
    {
        return fault(
            at,
            format!("{sign} compares numbers and times"),
            "pat(), any() and has() go with == and !=",
        );
    }
    if !matches!(
        (&left, &right),
        (Side::Of(_) | Side::Length(_) | Side::Has(_), _) | (_, Side::Of(_) | Side::Length(_) | Side::Has(_))
    ) {
        return fault(0, "it is about nothing that a check finds", format!("name one of {}", parts()));
    }
    Ok(Condition { text: text.trim().into(), left, operator, right })
}

/// The first operator that stands by itself: between blanks, so that texts may hold such signs.
fn operator(text: &str) -> Option<(usize, &'static str, Operator)> {
    let is_blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
    text.char_indices().find_map(|(at, _)| {
        let (sign, operator) = OPERATORS.into_iter().find(|(sign, _)| text[at..].starts_with(sign))?;
        let after = text[at + sign.len()..].chars().next();
        (is_blank(text[..at].chars().next_back()) && is_blank(after)).then_some((at, sign, operator))
    })
}

fn side(text: &str, offset: usize) -> Result<Side, Fault> {
    let at = offset + (text.len() - text.trim_start().len());
    let text = text.trim();
    if text.is_empty() {
        return fault(at, "a side of the comparison is empty", "compare with a text such as 200");
    }
    let inside = |name: &str| {
        let rest = text.strip_prefix(name)?.strip_prefix('(')?;
        Some(rest.strip_suffix(')').ok_or(()))
    };
    for name in ["len", "has", "pat", "any"] {
        let Some(inside) = inside(name) else { continue };
        let Ok(inside) = inside else {
            return fault(
                at,
                format!("{name}( is never closed"),
                format!("end it with a parenthesis: {name}(…)"),
            );
        };
        let within = at + name.len() + 1;
        return match name {
            "len" => place(inside.trim(), within).map(Side::Length),
            "has" => place(inside.trim(), within).map(Side::Has),
            "pat" => Ok(Side::Like(inside.trim().into())),
            _ => any(inside, within),
        };
    }
    if text.starts_with('[') { place(text, at).map(Side::Of) } else { Ok(Side::Text(text.into())) }
}

fn any(inside: &str, offset: usize) -> Result<Side, Fault> {
    let mut at = offset;
    let mut sides = Vec::new();
    for part in inside.split(',') {
        match side(part, at)? {
            Side::Any(_) => return fault(at, "any() stands in any()", "write all values into one"),
            one => sides.push(one),
        }
        at += part.len() + 1;
    }
    Ok(Side::Any(sides))
}

fn place(text: &str, at: usize) -> Result<Place, Fault> {
    let Some((name, path)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return fault(
            at,
            format!("{text:?} is nothing that a check finds"),
            format!("name one of {}", parts()),
        );
    };
    let known = Part::ALL.into_iter().find(|(known, _)| *known == name);
    let Some((_, part)) = known else {
        let near = Part::ALL.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let help = near.map_or_else(
            || format!("name one of {}", parts()),
            |(known, _)| format!("did you mean [{known}]?"),
        );
        return fault(at, format!("a check finds no [{name}]"), help);
    };
    let within = at + name.len() + 2;
    if part != Part::Body && !path.is_empty() {
        return fault(
            within,
            format!("{path:?} follows [{name}]"),
            "only [BODY] has parts, as in [BODY].user.name",
        );
    }
    Ok(Place { text: text.into(), part, path: steps(path, within)? })
}

/// `.user.names[0]`
fn steps(path: &str, offset: usize) -> Result<Vec<Step>, Fault> {
    let (mut rest, mut steps) = (path, Vec::new());
    while !rest.is_empty() {
        let at = offset + path.len() - rest.len();
        if let Some(key) = rest.strip_prefix('.') {
            let end = key.find(['.', '[']).unwrap_or(key.len());
            if end == 0 {
                return fault(at, "a dot leads nowhere", "name what is behind it, as in [BODY].user");
            }
            steps.push(Step::Key(key[..end].into()));
            rest = &key[end..];
        } else {
            let item = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
            let Some((Ok(item), after)) = item.map(|(item, after)| (item.parse(), after)) else {
                return fault(
                    at,
                    format!("{rest:?} is no part of a body"),
                    "write it as in [BODY].users[0].name",
                );
            };
            steps.push(Step::Item(item));
            rest = after;
        }
    }
    Ok(steps)
}

fn parts() -> String {
    Part::ALL.map(|(name, _)| format!("[{name}]")).join(", ")
}
