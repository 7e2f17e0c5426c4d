//! What an archive holds: one entry for each table, which says how its rows are written, read, found again and replaced.
//! A table that is added to the store needs an entry here, and nothing else.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use puerto_core::TenantId;
use serde_json::value::RawValue;

use crate::audit::canonical::quoted;
use crate::catalogs::CATALOG_BYTES_MAX;
use crate::db::{Misread, Param, Row};
use crate::outbox::NOTICE_BYTES_MAX;
use crate::registry::REGISTRATIONS_MAX;
use crate::services::{API_SERVICES_MAX, SERVICE_BYTES_MAX};

/// Longest text of a member that names something, in bytes.
const NAME_BYTES_MAX: usize = 4 * 1024;
/// Longest text that tells why something failed, in bytes.
const REASON_BYTES_MAX: usize = 1024 * 1024;
/// Longest JSON of one member, where nothing else is said: the largest task list, with room.
const JSON_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Greatest number of a row that the database numbers. Beyond it numbers would not be exact in JSON, and the end of all
/// numbers would be near.
const NUMBER_MAX: i64 = 1 << 52;

/// The sections, in their order: what is named by another comes before it. Audit trails follow them (`trail.rs`).
pub(crate) const SECTIONS: &[Section] =
    &[EVENTS, REGISTRATIONS, TASKS, TASK_ITEMS, SCHEDULES, CHECKS, CATALOGS, NOTICES, SERVICES];

const EVENTS: Section = Section {
    name: "events",
    number: Some("seq"),
    key: &["tenant", "source", "id"],
    with_it: &["requests"],
    columns: &[
        column("seq", Kind::Number),
        column("tenant", Kind::Tenant),
        column("source", NAME),
        column("id", NAME),
        column("kind", NAME).shown("type"),
        column("severity", Kind::Rank(&["info", "warning", "error", "critical"])),
        column("subject", NAME).maybe(),
        column("at", Kind::Whole).shown("at_us"),
        column("time", Kind::Whole).shown("time_us").maybe(),
        column("payload", Kind::Json(JSON_BYTES_MAX)),
        column("extensions", Kind::Json(JSON_BYTES_MAX)).maybe(),
    ],
    ..SECTION
};

const REGISTRATIONS: Section = Section {
    name: "registrations",
    key: &["tenant", "kind", "name"],
    of_tenant_max: Some(REGISTRATIONS_MAX),
    columns: &[
        column("tenant", Kind::Tenant),
        column("kind", Kind::Word(&["model", "agent"])),
        column("name", NAME),
        column("registered", Kind::Whole).shown("registered_us"),
        column("seen", Kind::Whole).shown("seen_us"),
        column("data", Kind::Json(JSON_BYTES_MAX)),
    ],
    ..SECTION
};

const TASKS: Section = Section {
    name: "tasks",
    number: Some("id"),
    // The archive of a context knows the milliseconds alone.
    key: &["tenant", "name", "created / 1000"],
    may_repeat: true,
    stays: Some("status = 'running'"),
    // Nothing runs because it was imported: nobody knows what of it was done since.
    tidy: Some(
        "UPDATE staged_tasks SET status = 'interrupted', ended = coalesce(ended, started, created),
         error = 'it waited or ran when it was exported; it is not run again by itself'
         WHERE status IN ('queued', 'running')",
    ),
    fixed: &[("cancelling", "0"), ("owner", "''"), ("beat", "0")],
    page: 8,
    columns: &[
        column("id", Kind::Number),
        column("tenant", Kind::Tenant),
        column("name", NAME),
        column("priority", Kind::Whole),
        column("status", Kind::Word(&["queued", "running", "done", "failed", "cancelled", "interrupted"])),
        column("file", NAME).maybe(),
        column("schedule", NAME).maybe(),
        column("created", Kind::Whole).shown("created_us"),
        column("started", Kind::Whole).shown("started_us").maybe(),
        column("ended", Kind::Whole).shown("ended_us").maybe(),
        column("total", Kind::Whole),
        column("good", Kind::Whole),
        column("failed", Kind::Whole),
        column("error", REASON).maybe(),
        column("concurrency", Kind::Whole),
        column("keep_going", Kind::Flag),
        // As it was written, with its comments.
        column("list", Kind::Text(JSON_BYTES_MAX)),
    ],
    ..SECTION
};

const TASK_ITEMS: Section = Section {
    name: "task_items",
    key: &["task", "place"],
    owner: Owner::Row { column: "task", section: &TASKS },
    columns: &[
        column("task", Kind::Number),
        column("place", Kind::Whole),
        column("server", NAME),
        column("action", NAME),
        column("error", REASON).maybe(),
        column("duration", Kind::Whole).shown("duration_us"),
    ],
    ..SECTION
};

const SCHEDULES: Section = Section {
    name: "schedules",
    key: &["name"],
    owner: Owner::Hub,
    // A schedule that went back in time would fire again for what was done.
    later: Some("fired"),
    columns: &[column("name", NAME), column("fired", Kind::Whole).shown("fired_us")],
    ..SECTION
};

const CHECKS: Section = Section {
    name: "checks",
    key: &["span", "tenant", "service", "start"],
    page: 4_096,
    columns: &[
        column("span", Kind::Whole).shown("span_s"),
        column("tenant", Kind::Tenant),
        column("service", NAME),
        column("start", Kind::Whole).shown("start_s"),
        column("good", Kind::Whole),
        column("bad", Kind::Whole),
        column("unknown", Kind::Whole),
        column("total_us", Kind::Whole),
        column("longest_us", Kind::Whole),
    ],
    ..SECTION
};

const CATALOGS: Section = Section {
    name: "catalogs",
    key: &["tenant", "server"],
    page: 1,
    columns: &[
        column("tenant", Kind::Tenant),
        column("server", NAME),
        column("at", Kind::Whole).shown("at_us"),
        column("document", Kind::Json(CATALOG_BYTES_MAX)),
    ],
    ..SECTION
};

const NOTICES: Section = Section {
    name: "notices",
    number: Some("seq"),
    key: &["key"],
    stays: Some("state = 'waiting'"),
    // Nobody is told anything because it was imported: whoever had to be may have been told since.
    tidy: Some(
        "UPDATE staged_notices SET state = 'dead', ended = coalesce(ended, decided),
         error = 'it waited when it was exported; it is not sent by itself' WHERE state = 'waiting'",
    ),
    fixed: &[("next", "0"), ("claimed", "0")],
    columns: &[
        column("seq", Kind::Number),
        column("key", NAME),
        column("tenant", Kind::Tenant),
        column("channel", NAME),
        column("line", NAME).shown("group"),
        column("document", Kind::Json(NOTICE_BYTES_MAX)),
        column("state", Kind::Word(&["waiting", "sent", "dead"])),
        column("decided", Kind::Whole).shown("decided_us"),
        column("since", Kind::Whole).shown("since_us"),
        column("attempts", Kind::Whole),
        column("error", REASON).maybe(),
        column("ended", Kind::Whole).shown("ended_us").maybe(),
    ],
    ..SECTION
};

const SERVICES: Section = Section {
    name: "services",
    key: &["tenant", "name"],
    of_tenant_max: Some(API_SERVICES_MAX),
    // The archive has no secrets, so what it could put in its place would not be checked any more.
    stays: Some("secrets IS NOT NULL"),
    columns: &[
        column("tenant", Kind::Tenant),
        column("name", NAME),
        column("at", Kind::Whole).shown("at_us"),
        column("document", Kind::Json(SERVICE_BYTES_MAX)),
        column("has_secrets", Kind::Flag),
    ],
    ..SECTION
};

/// What an entry says where it says nothing else.
const SECTION: Section = Section {
    name: "",
    columns: &[],
    key: &[],
    may_repeat: false,
    number: None,
    owner: Owner::Tenant,
    fixed: &[],
    stays: None,
    later: None,
    tidy: None,
    with_it: &[],
    of_tenant_max: None,
    page: 256,
};

/// One table of an archive.
pub(crate) struct Section {
    /// Its name: that of the section and that of the table.
    pub(crate) name: &'static str,
    /// What of it is in an archive.
    pub(crate) columns: &'static [Column],
    /// Expressions over its columns that name a row: where they are equal it is the same row.
    pub(crate) key: &'static [&'static str],
    /// Whether an archive may hold rows that are the same by it.
    pub(crate) may_repeat: bool,
    /// The column that the database numbers, where it does.
    pub(crate) number: Option<&'static str>,
    /// Whose the rows are.
    pub(crate) owner: Owner,
    /// Columns that an archive does not hold, and what they get.
    pub(crate) fixed: &'static [(&'static str, &'static str)],
    /// Which rows no import replaces.
    pub(crate) stays: Option<&'static str>,
    /// The column whose later value stays where rows are replaced; the others stay.
    pub(crate) later: Option<&'static str>,
    /// What is done to the staged rows before they are added.
    pub(crate) tidy: Option<&'static str>,
    /// Tables of the same owner that are emptied where this one is replaced.
    pub(crate) with_it: &'static [&'static str],
    /// Rows that a tenant may have.
    pub(crate) of_tenant_max: Option<i64>,
    /// Rows read at once: some megabytes at most.
    pub(crate) page: u32,
}

/// Whose the rows of a table are.
pub(crate) enum Owner {
    /// The tenant's that is named in the column `tenant`.
    Tenant,
    /// Nobody's: they are in archives of all tenants only.
    Hub,
    /// Whose the row of another section is that a column names by its number.
    Row { column: &'static str, section: &'static Section },
}

/// A column of an archive.
pub(crate) struct Column {
    /// In the database.
    pub(crate) name: &'static str,
    /// In the archive.
    pub(crate) member: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Whether it may be missing.
    pub(crate) is_optional: bool,
}

/// What a column holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A whole number.
    Whole,
    /// A number that the database gives.
    Number,
    /// Yes or no.
    Flag,
    /// A tenant.
    Tenant,
    /// A text, and how long it may be.
    Text(usize),
    /// A text that a server may have written: null characters, which Postgres does not keep, are replaced.
    Prose(usize),
    /// One of some words.
    Word(&'static [&'static str]),
    /// The place of one of some words among them.
    Rank(&'static [&'static str]),
    /// JSON, byte for byte, and how long it may be.
    Json(usize),
}

/// A text that names something.
const NAME: Kind = Kind::Text(NAME_BYTES_MAX);
/// A text that tells why.
const REASON: Kind = Kind::Prose(REASON_BYTES_MAX);

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, member: name, kind, is_optional: false }
}

impl Column {
    const fn shown(self, member: &'static str) -> Self {
        Self { member, ..self }
    }

    const fn maybe(self) -> Self {
        Self { is_optional: true, ..self }
    }
}

/// A value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Whole(Option<i64>),
    Text(Option<String>),
}

impl Value {
    /// For a statement.
    pub(crate) fn param(&self) -> &dyn Param {
        match self {
            Value::Whole(number) => number,
            Value::Text(text) => text,
        }
    }
}

impl Kind {
    /// What a column of this kind holds in the database.
    pub(crate) fn read(self, row: &Row<'_>, at: usize) -> Result<Value, Misread> {
        Ok(match self {
            Kind::Whole | Kind::Number | Kind::Flag | Kind::Rank(_) => Value::Whole(row.get(at)?),
            _ => Value::Text(row.get(at)?),
        })
    }

    /// Reads what an archive has for it.
    fn parse(self, given: &RawValue) -> Result<Value, String> {
        let whole = || serde_json::from_str::<i64>(given.get()).map_err(|_| "is no whole number".to_owned());
        let prose = |limit: usize| {
            let text: String = serde_json::from_str(given.get()).map_err(|_| "is no text".to_owned())?;
            if text.len() <= limit { Ok(text) } else { Err(format!("has more than {limit} bytes")) }
        };
        let text = |limit: usize| {
            let text = prose(limit)?;
            if text.contains('\0') { Err("holds a null character".to_owned()) } else { Ok(text) }
        };
        let among = |words: &[&str]| {
            let text = text(NAME_BYTES_MAX)?;
            let place = words.iter().position(|word| *word == text);
            place
                .ok_or_else(|| format!("{text:?} is none of {}", words.join(", ")))
                .map(|place| (place, text))
        };
        Ok(match self {
            Kind::Whole => Value::Whole(Some(whole()?)),
            Kind::Number => match whole()? {
                number @ 1..=NUMBER_MAX => Value::Whole(Some(number)),
                number => return Err(format!("{number} is no number from 1 to {NUMBER_MAX}")),
            },
            Kind::Flag => {
                let flag: bool = serde_json::from_str(given.get()).map_err(|_| "is not true or false")?;
                Value::Whole(Some(i64::from(flag)))
            }
            Kind::Tenant => {
                let text = text(NAME_BYTES_MAX)?;
                TenantId::new(&text).map_err(|error| error.to_string())?;
                Value::Text(Some(text))
            }
            Kind::Text(limit) => Value::Text(Some(text(limit)?)),
            Kind::Prose(limit) => Value::Text(Some(prose(limit)?.replace('\0', "\u{fffd}"))),
            Kind::Word(words) => Value::Text(Some(among(words)?.1)),
            Kind::Rank(words) => Value::Whole(Some(among(words)?.0 as i64)),
            Kind::Json(limit) if given.get().len() > limit => {
                return Err(format!("has more than {limit} bytes"));
            }
            Kind::Json(_) => Value::Text(Some(given.get().to_owned())),
        })
    }

    /// Writes what the database has: `null` where it is no value of this kind, which no import takes.
    fn write(self, value: &Value, to: &mut String) {
        let word =
            |words: &'static [&'static str], place: i64| words.get(usize::try_from(place).ok()?).copied();
        match (self, value) {
            (Kind::Flag, Value::Whole(Some(number))) => {
                to.push_str(if *number == 0 { "false" } else { "true" });
            }
            (Kind::Rank(words), Value::Whole(Some(number))) => match word(words, *number) {
                Some(word) => quoted(word, to),
                None => to.push_str("null"),
            },
            (_, Value::Whole(Some(number))) => {
                // Writing into a string cannot fail.
                let _ = write!(to, "{number}");
            }
            (Kind::Json(_), Value::Text(Some(json))) => to.push_str(json),
            (_, Value::Text(Some(text))) => quoted(text, to),
            (_, Value::Whole(None) | Value::Text(None)) => to.push_str("null"),
        }
    }
}

/// What follows the name of a member whose JSON has line breaks, and stands as a text.
const AS_TEXT: &str = "_text";

impl Section {
    /// The section of this name.
    pub(crate) fn named(name: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.name == name)
    }

    /// Its columns, with commas between.
    pub(crate) fn names(&self) -> String {
        self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
    }

    /// A row as a line of an archive.
    pub(crate) fn line(&self, row: &[Value]) -> String {
        let mut line = String::new();
        for (column, value) in self.columns.iter().zip(row) {
            if matches!(value, Value::Whole(None) | Value::Text(None)) {
                continue;
            }
            line.push_str(if line.is_empty() { "{\"" } else { ",\"" });
            line.push_str(column.member);
            match (column.kind, value) {
                // Between the parts of JSON line breaks are allowed, and are kept with the rest of it.
                (Kind::Json(_), Value::Text(Some(json))) if json.contains(['\n', '\r']) => {
                    line.push_str(AS_TEXT);
                    line.push_str("\":");
                    quoted(json, &mut line);
                }
                (kind, value) => {
                    line.push_str("\":");
                    kind.write(value, &mut line);
                }
            }
        }
        line + "}"
    }

    /// A line of an archive as a row; `of` is the tenant that all of it must be of.
    pub(crate) fn row(&self, line: &str, of: Option<&str>) -> Result<Vec<Value>, String> {
        let mut given: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(line).map_err(|error| format!("this is no record: {error}"))?;
        let mut row = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            let value = match (given.remove(column.member), column.kind) {
                (Some(value), kind) if value.get() != "null" || !column.is_optional => kind.parse(value),
                (None, Kind::Json(limit)) if given.contains_key(&*format!("{}{AS_TEXT}", column.member)) => {
                    given
                        .remove(&*format!("{}{AS_TEXT}", column.member))
                        .map_or(Err(String::new()), |text| as_text(text, limit))
                }
                (None, _) if !column.is_optional => Err("is missing".into()),
                (_, Kind::Whole | Kind::Number | Kind::Flag | Kind::Rank(_)) => Ok(Value::Whole(None)),
                (_, _) => Ok(Value::Text(None)),
            };
            let value = value.map_err(|why| format!("{}: {why}", column.member))?;
            if let (Kind::Tenant, Value::Text(Some(tenant)), Some(of)) = (column.kind, &value, of)
                && tenant != of
            {
                return Err(format!("{}: {tenant:?}, where the archive is of {of:?} alone", column.member));
            }
            row.push(value);
        }
        match given.keys().next() {
            None => Ok(row),
            Some(name) => Err(format!("{name}: this member is not known")),
        }
    }

    /// The condition that a row `a` is the same as a row `b`.
    pub(crate) fn is_same(&self, a: &str, b: &str) -> String {
        let each = self.key.iter().map(|key| format!("{a}.{key} = {b}.{key}"));
        each.collect::<Vec<_>>().join(" AND ")
    }
}

fn as_text(given: &RawValue, limit: usize) -> Result<Value, String> {
    let text: String = serde_json::from_str(given.get()).map_err(|_| "is no text".to_owned())?;
    let inner: &RawValue = serde_json::from_str(&text).map_err(|error| format!("holds no JSON: {error}"))?;
    match inner.get().len() == text.len() && text.len() <= limit {
        true => Ok(Value::Text(Some(text))),
        false => Err(format!("has spaces around it, or more than {limit} bytes")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A value that a column of a kind may hold.
    fn value(column: &Column) -> BoxedStrategy<Value> {
        let text =
            |strategy: BoxedStrategy<String>| strategy.prop_map(|text| Value::Text(Some(text))).boxed();
        let whole = |strategy: BoxedStrategy<i64>| strategy.prop_map(|n| Value::Whole(Some(n))).boxed();
        let some = match column.kind {
            Kind::Whole => whole(any::<i64>().boxed()),
            Kind::Number => whole((1..=NUMBER_MAX).boxed()),
            Kind::Flag => whole((0..=1_i64).boxed()),
            Kind::Rank(words) => whole((0..words.len() as i64).boxed()),
            Kind::Tenant => text("[a-z][a-z0-9]{0,9}".boxed()),
            Kind::Text(_) | Kind::Prose(_) => text("[^\\x00]{0,20}".boxed()),
            Kind::Word(words) => text(proptest::sample::select(words).prop_map(str::to_owned).boxed()),
            Kind::Json(_) => {
                const TEXTS: &[&str] =
                    &["null", "1.50", "[1,\n 2]", "{\"a\":\r\n\"\\u0000\"}", "\"\u{2028}é\"", "{}"];
                text(proptest::sample::select(TEXTS).prop_map(str::to_owned).boxed())
            }
        };
        if !column.is_optional {
            return some;
        }
        let none = match column.kind {
            Kind::Whole | Kind::Number | Kind::Flag | Kind::Rank(_) => Value::Whole(None),
            _ => Value::Text(None),
        };
        // Where it may be missing, `null` is how others write that it is.
        let some = some.prop_filter("not null", |value| *value != Value::Text(Some("null".into())));
        prop_oneof![some, Just(none)].boxed()
    }

    #[test]
    fn every_row_is_one_line_and_is_read_as_it_was() {
        let runner = &mut proptest::test_runner::TestRunner::default();
        for section in SECTIONS {
            let row: Vec<_> = section.columns.iter().map(value).collect();
            let holds = |row: Vec<Value>| {
                let line = section.line(&row);
                prop_assert!(!line.contains(['\n', '\r']), "{line}");
                prop_assert_eq!(section.row(&line, None), Ok(row), "{}", line);
                Ok(())
            };
            runner.run(&row, holds).unwrap();
        }
    }

    #[test]
    fn what_a_server_wrote_is_no_reason_to_refuse() {
        let row = TASK_ITEMS.row(
            r#"{"task":1,"place":0,"server":"s","action":"a","error":"a\u0000b","duration_us":1}"#,
            None,
        );
        assert_eq!(row.unwrap()[4], Value::Text(Some("a\u{fffd}b".into())));
    }

    #[test]
    fn what_a_line_may_not_hold_is_named() {
        let given = r#"{"tenant":"a","server":"s","at_us":1,"document":{}}"#;
        assert!(CATALOGS.row(given, Some("a")).is_ok());
        for (from, to, why) in [
            ("\"a\"", "\"b\"", "tenant: \"b\", where the archive is of \"a\" alone"),
            ("\"a\"", "\"-\"", "tenant: "),
            ("\"s\"", "7", "server: is no text"),
            ("\"s\"", "\"\\u0000\"", "server: holds a null character"),
            (":1,", ":1.5,", "at_us: is no whole number"),
            (":{}", "_text\":\"{\"", "this is no record"),
            ("\"document\":{}", "\"document_text\":\"{\"", "document: holds no JSON"),
            ("\"document\":{}", "\"document_text\":\" {}\"", "document: has spaces around it"),
            ("\"document\":{}", "\"more\":{}", "document: is missing"),
            (",\"document\":{}", ",\"document\":{},\"more\":1", "more: this member is not known"),
        ] {
            let line = given.replacen(from, to, 1);
            let refused = CATALOGS.row(&line, Some("a")).unwrap_err();
            assert!(refused.starts_with(why), "{line}: {refused}");
        }
    }
}
