//! Reads JSON with comments and trailing commas into a tree that knows where everything stands. Our own
//! reader, because every later complaint needs a position and a plain word, for which serde_json and
//! the JSONC crates give a byte offset at best. Strings and numbers are still decoded by serde_json.

/// Deepest nesting. A configuration needs six; the limit keeps a hostile file from exhausting the stack.
const DEPTH_MAX: usize = 64;

/// A range of bytes in the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Span {
    /// First byte.
    pub(crate) start: usize,
    /// Byte after the last.
    pub(crate) end: usize,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    /// A text that held `${...}`: it may stand for a number or a truth value too.
    Expanded(String),
    /// A text whose variables could not be filled in; that is reported once and not judged further.
    Unknown,
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// The member of this key, where this is an object that has one.
    pub(crate) fn member(&self, key: &str) -> Option<&Member> {
        self.members().iter().find(|member| member.key == key)
    }

    /// The value of this key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.member(key).map(|member| &member.node)
    }

    /// All members; none where this is no object.
    pub(crate) fn members(&self) -> &[Member] {
        if let Value::Object(members) = &self.value { members } else { &[] }
    }

    /// All items; none where this is no list.
    pub(crate) fn items(&self) -> &[Node] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    /// The text, where this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) | Value::Expanded(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the value says nothing: null, or empty.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::List(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        }
    }

    /// The same as serde knows it.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null | Value::Unknown => serde_json::Value::Null,
            Value::Bool(truth) => (*truth).into(),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) | Value::Expanded(text) => text.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Object(members) => serde_json::Value::Object(
                members.iter().map(|member| (member.key.clone(), member.node.to_json())).collect(),
            ),
        }
    }
}

/// Why a text is not JSON, and where.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) span: Span,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

type Read<T> = Result<T, Mistake>;

/// Reads a whole text.
pub(crate) fn read(text: &str) -> Read<Node> {
    let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 }, depth: 0 };
    reader.skip()?;
    if reader.at == text.len() {
        return Err(mistake(reader.here(0), "the file is empty", Some("an object { … } is expected")));
    }
    let node = reader.value()?;
    reader.skip()?;
    if reader.at < text.len() {
        let message = format!("found {} after the end of the configuration", reader.shown());
        return Err(mistake(reader.here(1), &message, Some("look for a bracket that closes too early")));
    }
    Ok(node)
}

fn mistake(span: Span, message: &str, help: Option<&str>) -> Mistake {
    Mistake { span, message: message.into(), help: help.map(Into::into) }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    /// A span of so many bytes from here, as far as there are any.
    fn here(&self, bytes: usize) -> Span {
        let mut end = (self.at + bytes).min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        Span { start: self.at, end }
    }

    /// What stands here, for a message.
    fn shown(&self) -> String {
        match self.rest().chars().next() {
            None => "the end of the file".into(),
            Some(c) if c.is_ascii_alphabetic() => format!("{:?}", self.word()),
            Some(c) => format!("{:?}", c.to_string()),
        }
    }

    fn word(&self) -> &str {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        &rest[..end]
    }

    /// Passes over white space and comments.
    fn skip(&mut self) -> Read<()> {
        loop {
            let rest = self.rest();
            if rest.starts_with([' ', '\t', '\n', '\r']) {
                self.at += 1;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    let help = "close it with */";
                    return Err(mistake(self.here(2), "this comment is never closed", Some(help)));
                };
                self.at += end + 4;
            } else if rest.starts_with('#') {
                let help = "comments begin with //";
                return Err(mistake(self.here(1), "\"#\" does not begin a comment", Some(help)));
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self) -> Read<Node> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.object()?,
            Some(b'[') => self.list()?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'+' | b'.' | b'0'..=b'9') => self.number()?,
            _ => self.literal()?,
        };
        Ok(Node { span: Span { start, end: self.at }, value })
    }

    fn literal(&mut self) -> Read<Value> {
        let word = self.word().to_owned();
        let value = match word.as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "null" => Value::Null,
            _ => {
                let help = match word.as_str() {
                    "True" | "TRUE" | "yes" | "on" => "did you mean true?",
                    "False" | "FALSE" | "no" | "off" => "did you mean false?",
                    "None" | "nil" | "undefined" => "did you mean null?",
                    "" if self.peek() == Some(b'\'') => "text is written in double quotes: \"…\"",
                    "" if matches!(self.peek(), Some(b',' | b'}' | b']')) => "the value before it is missing",
                    "" => "a value is a text in double quotes, a number, true, false, null, [ … ] or { … }",
                    _ => "text is written in double quotes: \"…\"",
                };
                let message = format!("found {} where a value is expected", self.shown());
                return Err(mistake(self.here(word.len().max(1)), &message, Some(help)));
            }
        };
        self.at += word.len();
        Ok(value)
    }

    fn number(&mut self) -> Read<Value> {
        let rest = self.rest();
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        let raw = &rest[..rest.find(|c: char| !is_part(c)).unwrap_or(rest.len())];
        match serde_json::from_str(raw) {
            Ok(number) => {
                self.at += raw.len();
                Ok(Value::Number(number))
            }
            Err(_) => {
                let help = "a number is written like 8080 or 0.5; anything else needs double quotes";
                Err(mistake(self.here(raw.len()), &format!("{raw:?} is not a number"), Some(help)))
            }
        }
    }

    fn string(&mut self) -> Read<String> {
        let rest = self.rest();
        let mut bytes = rest.bytes().enumerate().skip(1);
        let end = loop {
            match bytes.next() {
                Some((at, b'"')) => break at + 1,
                Some((_, b'\\')) => drop(bytes.next()),
                Some((_, b'\n')) | None => {
                    let help = Some("close it with \" on the same line; a line break is written \\n");
                    return Err(mistake(self.here(1), "this text is never closed", help));
                }
                Some(_) => {}
            }
        };
        // A backslash before a multi-byte character skips only its first byte, which is harmless: no
        // later byte of it can be a quote.
        let raw = &rest[..end];
        match serde_json::from_str(raw) {
            Ok(text) => {
                self.at += end;
                Ok(text)
            }
            Err(_) => {
                let help = "a backslash is written \\\\, a tab \\t; other escapes are \\n \\r \\\" \\/ \\b \\f \\uXXXX";
                let message = "this text holds a control character or an escape that JSON does not know";
                Err(mistake(self.here(end), message, Some(help)))
            }
        }
    }

    /// Steps into a bracket.
    fn open(&mut self) -> Read<Span> {
        let here = self.here(1);
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(mistake(here, &format!("brackets are nested deeper than {DEPTH_MAX}"), None));
        }
        self.at += 1;
        Ok(here)
    }

    /// After an item: passes over a comma; `true` at the closing bracket, which it also passes over.
    fn close(&mut self, opened: Span, bracket: char, after: usize) -> Read<bool> {
        self.skip()?;
        let comma = self.peek() == Some(b',');
        if comma {
            self.at += 1;
            self.skip()?;
        }
        if self.rest().starts_with(bracket) {
            self.at += 1;
            self.depth -= 1;
            return Ok(true);
        }
        if self.at == self.text.len() {
            return Err(self.never_closed(opened, bracket));
        }
        if !comma {
            let span = Span { start: after, end: after };
            if matches!(self.peek(), Some(b'}' | b']' | b':')) {
                let message = format!("found {} where \",\" or \"{bracket}\" is expected", self.shown());
                return Err(mistake(self.here(1), &message, None));
            }
            return Err(mistake(span, "a comma is missing here", Some("put \",\" between two entries")));
        }
        Ok(false)
    }

    fn never_closed(&self, opened: Span, bracket: char) -> Mistake {
        let open = if bracket == '}' { '{' } else { '[' };
        mistake(
            opened,
            &format!("this \"{open}\" is never closed"),
            Some(&format!("add the missing \"{bracket}\"")),
        )
    }

    /// Whether the bracket closes at once; passes over it then.
    fn closes_at_once(&mut self, opened: Span, bracket: char) -> Read<bool> {
        self.skip()?;
        if self.at == self.text.len() {
            return Err(self.never_closed(opened, bracket));
        }
        let closes = self.rest().starts_with(bracket);
        if closes {
            self.at += 1;
            self.depth -= 1;
        }
        Ok(closes)
    }

    fn list(&mut self) -> Read<Value> {
        let opened = self.open()?;
        let mut items = Vec::new();
        if self.closes_at_once(opened, ']')? {
            return Ok(Value::List(items));
        }
        loop {
            let item = self.value()?;
            let after = item.span.end;
            items.push(item);
            if self.close(opened, ']', after)? {
                return Ok(Value::List(items));
            }
        }
    }

    fn object(&mut self) -> Read<Value> {
        let opened = self.open()?;
        let mut members = Vec::new();
        if self.closes_at_once(opened, '}')? {
            return Ok(Value::Object(members));
        }
        loop {
            let member = self.entry()?;
            let after = member.node.span.end;
            members.push(member);
            if self.close(opened, '}', after)? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn entry(&mut self) -> Read<Member> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            let message = format!("found {} where a key is expected", self.shown());
            let help = "a key is written in double quotes, as in \"servers\": { … }";
            return Err(mistake(self.here(self.word().len().max(1)), &message, Some(help)));
        }
        let key = self.string()?;
        let key_span = Span { start, end: self.at };
        self.skip()?;
        if self.peek() != Some(b':') {
            let message = format!("found {} after the key {key:?}, where \":\" is expected", self.shown());
            return Err(mistake(self.here(1), &message, None));
        }
        self.at += 1;
        self.skip()?;
        let node = self.value()?;
        Ok(Member { key, key_span, node })
    }
}
