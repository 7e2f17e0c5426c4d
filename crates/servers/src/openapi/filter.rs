//! Which operations become tools: patterns by method and path, by tag, by the operation's id.

use puerto_core::def::OperationsDef;

/// Methods whose operations can become tools, in the order in which those of one path are listed.
pub(super) const METHODS: [&str; 7] = ["get", "head", "options", "post", "put", "patch", "delete"];

/// What an operation is looked at by.
pub(super) struct Shown<'a> {
    pub(super) method: &'a str,
    pub(super) path: &'a str,
    /// Its id in the document.
    pub(super) id: Option<&'a str>,
    /// The tool's name.
    pub(super) name: &'a str,
    pub(super) tags: Vec<&'a str>,
}

/// One pattern.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    /// A method, where it is not any, and a path.
    Route(Option<String>, String),
    Tag(String),
    Id(String),
}

impl Pattern {
    fn parse(given: &str) -> Result<Self, String> {
        let given = given.trim();
        if given.is_empty() {
            return Err("a pattern is empty; \"*\" stands for every operation".into());
        }
        if let Some((word, rest)) = given.split_once(':')
            && (word.eq_ignore_ascii_case("tag") || word.eq_ignore_ascii_case("tags"))
        {
            return Ok(Pattern::Tag(rest.trim().into()));
        }
        if given.starts_with('/') {
            return Ok(Pattern::Route(None, given.into()));
        }
        let (method, path) = given.split_once(char::is_whitespace).unwrap_or((given, "*"));
        let lower = method.to_ascii_lowercase();
        let is_known = METHODS.contains(&&*lower);
        // A single word is a method where it is written as one, and an id otherwise.
        if path == "*" && !given.contains(char::is_whitespace) && !(is_known && method != lower) {
            return Ok(Pattern::Id(given.into()));
        }
        match () {
            () if is_known => Ok(Pattern::Route(Some(lower), path.trim().into())),
            () if method == "*" => Ok(Pattern::Route(None, path.trim().into())),
            () => Err(format!(
                "{given:?} begins with no method; write \"GET /pets/*\", \"tag:pets\" or an operation's id such as \"pets.*\""
            )),
        }
    }

    fn matches(&self, shown: &Shown<'_>) -> bool {
        match self {
            Pattern::Route(method, path) => {
                method.as_deref().is_none_or(|method| method == shown.method) && glob(path, shown.path)
            }
            Pattern::Tag(tag) => shown.tags.iter().any(|one| glob(tag, one)),
            Pattern::Id(id) => shown.id.is_some_and(|one| glob(id, one)) || glob(id, shown.name),
        }
    }
}

/// What is wrong with a pattern, for people.
pub fn pattern_fault(given: &str) -> Option<String> {
    Pattern::parse(given).err()
}

/// Both lists of patterns, and which of them have found something.
pub(super) struct Filter<'d> {
    include: Vec<(&'d str, Pattern, bool)>,
    exclude: Vec<(&'d str, Pattern, bool)>,
}

impl<'d> Filter<'d> {
    pub(super) fn new(def: &'d OperationsDef) -> Result<Self, String> {
        let parse = |all: &'d [String]| {
            all.iter()
                .map(|given| Ok((given.as_str(), Pattern::parse(given)?, false)))
                .collect::<Result<_, String>>()
        };
        Ok(Self { include: parse(&def.include)?, exclude: parse(&def.exclude)? })
    }

    /// Whether an operation becomes a tool.
    pub(super) fn takes(&mut self, shown: &Shown<'_>) -> bool {
        let any = |patterns: &mut Vec<(&str, Pattern, bool)>| {
            let mut found = false;
            for (_, pattern, used) in patterns {
                let matches = pattern.matches(shown);
                *used |= matches;
                found |= matches;
            }
            found
        };
        let included = self.include.is_empty() || any(&mut self.include);
        !any(&mut self.exclude) && included
    }

    /// The patterns that no operation fits.
    pub(super) fn unused(&self) -> impl Iterator<Item = &'d str> + '_ {
        self.include.iter().chain(&self.exclude).filter(|(_, _, used)| !used).map(|(given, ..)| *given)
    }
}

/// Whether a text fits a pattern in which `*` stands for any text. Takes time in proportion to both lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut last = None;
    for part in parts {
        // What stood before the last star has found its place; the last part must be the end.
        if let Some(before) = last.replace(part) {
            let Some(at) = rest.find(before) else { return false };
            rest = &rest[at + before.len()..];
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("*", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "ac", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("/pets/*", "/pets/{id}/toys", true),
            ("/pets", "/pets/{id}", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn operations_are_chosen() {
        let shown =
            |method, path, id| Shown { method, path, id, name: "pets_list", tags: vec!["pets", "open"] };
        let (get, post) = (shown("get", "/pets", Some("pets.list")), shown("post", "/pets/{id}", None));
        for (include, exclude, takes) in [
            (&[][..], &[][..], [true, true]),
            (&["GET *"], &[], [true, false]),
            (&["GET"], &[], [true, false]),
            (&["get /pets"], &[], [true, false]),
            (&["* /pets/*"], &[], [false, true]),
            (&["/pets/*"], &[], [false, true]),
            (&["pets.*"], &[], [true, false]),
            (&["pets_*"], &[], [true, true]),
            (&["tag:pets"], &["POST *"], [true, false]),
            (&["tag:shut"], &[], [false, false]),
            (&[], &["tag: o*"], [false, false]),
        ] {
            let list = |all: &[&str]| all.iter().map(ToString::to_string).collect();
            let def = OperationsDef { include: list(include), exclude: list(exclude) };
            let mut filter = Filter::new(&def).unwrap();
            assert_eq!([filter.takes(&get), filter.takes(&post)], takes, "{include:?} {exclude:?}");
        }
        assert!(pattern_fault("FETCH /pets").unwrap().contains("begins with no method"));
        assert!(pattern_fault(" ").unwrap().contains("empty"));
    }
}
