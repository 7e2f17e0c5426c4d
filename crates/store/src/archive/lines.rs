//! The lines of an archive: written with their sums, and read back with every sum compared. Pure: no database, no disk.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{ARCHIVE_LINES_MAX, FORMAT};
use crate::audit::verify::hex;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the form.
    #[serde(rename = "puerto_archive")]
    pub format: u64,
    /// The Puerto that has written it.
    pub version: String,
    /// When, in microseconds since 1970.
    pub at_us: i64,
    /// Where it holds the data of one tenant alone, this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
}

/// How every archive begins.
pub const BEGINNING: &str = "{\"puerto_archive\":";
const SECTION: &str = "{\"section\":";
/// How the last line begins.
pub(crate) const MANIFEST: &str = "{\"manifest\":";

/// What is known of a section once it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    section: String,
    records: u64,
    sha256: String,
}

/// The line that opens a section.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    section: String,
    trail: Option<Box<RawValue>>,
}

/// The last line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    manifest: Vec<Sum>,
    sha256: String,
}

/// A section that is being written or read.
struct Open {
    name: String,
    records: u64,
    hash: Sha256,
    /// The line that it begins with.
    line: u64,
}

impl Open {
    fn new(name: &str, line: u64) -> Self {
        Self { name: name.to_owned(), records: 0, hash: Sha256::new(), line }
    }

    fn take(&mut self, line: &str) {
        self.records += 1;
        self.hash.update(line);
        self.hash.update("\n");
    }

    fn end(self) -> Sum {
        Sum { section: self.name, records: self.records, sha256: hex(&self.hash.finalize().into()) }
    }
}

/// Writes an archive, piece by piece.
pub struct Writer {
    text: String,
    all: Sha256,
    open: Option<Open>,
    sums: Vec<Sum>,
}

impl Writer {
    /// Begins one.
    pub fn new(header: &Header) -> Self {
        let mut this = Self { text: String::new(), all: Sha256::new(), open: None, sums: Vec::new() };
        this.line(&serde_json::to_string(header).unwrap_or_default());
        this
    }

    fn line(&mut self, line: &str) {
        debug_assert!(!line.contains('\n'), "a line within {line}");
        self.all.update(line);
        self.all.update("\n");
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Begins a section, and ends the one before.
    pub fn section(&mut self, name: &str, trail: Option<&Value>) {
        self.sums.extend(self.open.take().map(Open::end));
        let opening = match trail {
            None => json!({"section": name}),
            Some(trail) => json!({"section": name, "trail": trail}),
        };
        self.line(&opening.to_string());
        self.open = Some(Open::new(name, 0));
    }

    /// A record of the section: an object of JSON without line breaks.
    pub fn record(&mut self, record: &str) {
        if let Some(open) = &mut self.open {
            open.take(record);
        }
        self.line(record);
    }

    /// What was written since the last time.
    pub fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// Ends it; answers the last piece.
    pub fn end(mut self) -> String {
        self.sums.extend(self.open.take().map(Open::end));
        let sha256 = hex(&self.all.clone().finalize().into());
        self.line(&json!({"manifest": self.sums, "sha256": sha256}).to_string());
        self.text
    }
}

/// What a line of an archive is.
pub(crate) enum Line<'a> {
    /// The first one.
    Header(Header),
    /// The beginning of a section, with what it says of a trail.
    Section(String, Option<Box<RawValue>>),
    /// A record of the section that is open.
    Record(&'a str),
    /// The last one; every sum is as it should be.
    Manifest,
}

/// Why an archive is refused, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The line, from 1.
    pub(crate) line: u64,
    /// The section; nothing outside of one.
    pub(crate) section: Option<String>,
    /// What is wrong.
    pub(crate) why: String,
}

/// Reads an archive, line by line.
pub(crate) struct Reader {
    line: u64,
    all: Sha256,
    open: Option<Open>,
    sums: Vec<(Sum, u64)>,
    has_ended: bool,
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self { line: 0, all: Sha256::new(), open: None, sums: Vec::new(), has_ended: false }
    }

    /// A fault of the line that was read last.
    pub(crate) fn fault(&self, why: impl Into<String>) -> Fault {
        Fault { line: self.line, section: self.open.as_ref().map(|open| open.name.clone()), why: why.into() }
    }

    /// The number of the line that was read last.
    pub(crate) fn line(&self) -> u64 {
        self.line
    }

    /// Takes in the next line, without its line break.
    pub(crate) fn take<'a>(&mut self, line: &'a str) -> Result<Line<'a>, Fault> {
        self.line += 1;
        if self.has_ended {
            return Err(self.fault("something stands after the manifest"));
        }
        if self.line > ARCHIVE_LINES_MAX {
            return Err(self.fault(format!("more than {ARCHIVE_LINES_MAX} lines")));
        }
        if self.line == 1 {
            let header = self.header(line)?;
            self.count(line);
            return Ok(Line::Header(header));
        }
        if line.starts_with(MANIFEST) {
            return self.manifest(line);
        }
        self.count(line);
        if line.starts_with(SECTION) {
            self.sums.extend(self.open.take().map(|open| (open.line, open.end())).map(|(at, sum)| (sum, at)));
            let Opening { section, trail } = self.parsed(line, "the beginning of a section")?;
            self.open = Some(Open::new(&section, self.line));
            return Ok(Line::Section(section, trail));
        }
        match &mut self.open {
            Some(open) => open.take(line),
            None => return Err(self.fault("a record stands outside of any section")),
        }
        Ok(Line::Record(line))
    }

    fn count(&mut self, line: &str) {
        self.all.update(line);
        self.all.update("\n");
    }

    fn parsed<'a, T: Deserialize<'a>>(&self, line: &'a str, what: &str) -> Result<T, Fault> {
        serde_json::from_str(line).map_err(|error| self.fault(format!("this is not {what}: {error}")))
    }

    fn header(&self, line: &str) -> Result<Header, Fault> {
        let foreign = "this is no archive of Puerto, which begins with {\"puerto_archive\":1,…}";
        let value: Value = serde_json::from_str(line).map_err(|_| self.fault(foreign))?;
        match value["puerto_archive"].as_u64() {
            None => Err(self.fault(foreign)),
            Some(FORMAT) => self.parsed(line, "the head of an archive"),
            Some(format) => {
                let why = format!("its form {format} is not {FORMAT}, which this Puerto knows");
                Err(self.fault(format!("{why}; use the Puerto that has written it, or a later one")))
            }
        }
    }

    /// Compares what the manifest says with what was read.
    fn manifest<'a>(&mut self, line: &str) -> Result<Line<'a>, Fault> {
        self.sums.extend(self.open.take().map(|open| (open.line, open.end())).map(|(at, sum)| (sum, at)));
        let Manifest { manifest, sha256 } = self.parsed(line, "a manifest")?;
        for (n, (found, at)) in self.sums.iter().enumerate() {
            let of = |why: String| Err(Fault { line: *at, section: Some(found.section.clone()), why });
            match manifest.get(n) {
                Some(told) if told == found => {}
                Some(told) if told.section != found.section => {
                    return of(format!("the manifest has section {} in its place", told.section));
                }
                Some(told) if told.records != found.records => {
                    let (found, told) = (found.records, told.records);
                    return of(format!("{found} records, where the manifest says {told}"));
                }
                Some(_) => {
                    let last = at + found.records;
                    return of(format!("lines {} to {last} were changed: their SHA-256 is another", at + 1));
                }
                None => return of("the manifest does not have this section".into()),
            }
        }
        if let Some(gone) = manifest.get(self.sums.len()) {
            let why = format!("section {} of the manifest is not in the archive", gone.section);
            return Err(self.fault(why));
        }
        if hex(&self.all.clone().finalize().into()) != sha256 {
            let why = "the first line, or one that begins a section, was changed: the SHA-256 is another";
            return Err(self.fault(why));
        }
        self.has_ended = true;
        Ok(Line::Manifest)
    }

    /// At the end of the text: whether it was all.
    pub(crate) fn end(&self) -> Result<(), Fault> {
        match (self.has_ended, self.line) {
            (true, _) => Ok(()),
            (false, 0) => {
                Err(Fault { line: 1, section: None, why: "this is no archive of Puerto: it is empty".into() })
            }
            (false, _) => Err(self.fault("the archive ends here, without its manifest: it was cut off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> String {
        let header = Header { format: FORMAT, version: "1".into(), at_us: 5, tenant: None };
        let mut writer = Writer::new(&header);
        writer.section("events", None);
        writer.record(r#"{"seq":1}"#);
        writer.record(r#"{"seq":2}"#);
        writer.section("tasks", None);
        writer.end()
    }

    fn read(text: &str) -> Result<u64, Fault> {
        let (mut reader, mut records) = (Reader::new(), 0);
        for line in text.lines() {
            records += u64::from(matches!(reader.take(line)?, Line::Record(_)));
        }
        reader.end().map(|()| records)
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(read(&archive()), Ok(2));
        let last = archive().lines().last().unwrap().to_owned();
        let before: String = archive().lines().take(5).map(|line| format!("{line}\n")).collect();
        let hash = hex(&Sha256::digest(&before).into());
        assert_eq!(archive().lines().count(), 6, "{}", archive());
        assert!(last.contains(&hash) || !before.ends_with("\n"), "{last}");
    }

    #[test]
    fn whatever_is_done_to_an_archive_is_named_with_its_section_and_its_line() {
        let whole = archive();
        let lines: Vec<&str> = whole.lines().collect();
        let without = |gone: usize| {
            let kept = lines.iter().enumerate().filter(|(n, _)| *n != gone).map(|(_, line)| *line);
            kept.collect::<Vec<_>>().join("\n")
        };
        let swapped = [lines[0], lines[1], lines[3], lines[2], lines[4], lines[5]].join("\n");
        for (text, line, section, why) in [
            (String::new(), 1, None, "it is empty"),
            ("hello".into(), 1, None, "no archive of Puerto"),
            (r#"{"models":[]}"#.into(), 1, None, "no archive of Puerto"),
            (whole.replacen("archive\":1", "archive\":2", 1), 1, None, "its form 2 is not 1"),
            (whole.replacen("\"seq\":2", "\"seq\":3", 1), 2, Some("events"), "lines 3 to 4 were changed"),
            (swapped, 2, Some("events"), "lines 3 to 4 were changed"),
            (without(2), 2, Some("events"), "1 records, where the manifest says 2"),
            (without(4), 5, None, "section tasks of the manifest is not in the archive"),
            (without(5), 5, Some("tasks"), "it was cut off"),
            (without(1), 2, None, "outside of any section"),
            (
                whole.replacen("\"tasks\"", "\"checks\"", 1),
                5,
                Some("checks"),
                "has section tasks in its place",
            ),
            (whole.replacen("at_us\":5", "at_us\":6", 1), 6, None, "the first line, or one that begins"),
            (whole.clone() + "{}", 7, None, "after the manifest"),
        ] {
            let fault = read(&text).unwrap_err();
            assert_eq!((fault.line, fault.section.as_deref()), (line, section), "{text}: {fault:?}");
            assert!(fault.why.contains(why), "{why}: {fault:?}");
        }
    }
}
