//! `puerto audit`: who did what, and whether the record of it is whole. A file that was exported is verified here, with
//! nothing but the file and the key.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::ExitCode;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use puerto_core::{Code, Error, Result};
use puerto_store::archive::{self, Checked};
use puerto_store::audit::checkpoint::Verifier;
use puerto_store::audit::tree;
use puerto_store::audit::verify::{self, Verdict, Verification};
use serde_json::{Value, json};

use super::ask::{columns, print, text, when};
use super::client::Client;
use super::failed;
use crate::cli::{Audit, AuditErase, AuditList, HubArg};
use crate::out;

/// Runs the command.
pub(crate) async fn run(command: &Audit) -> ExitCode {
    match command {
        Audit::List(args) => list(args).await,
        Audit::Verify { file: None, hub, .. } => verify_hub(hub).await,
        Audit::Verify { file: Some(file), hub, key } => verify_file(file, key.as_deref(), hub.json),
        Audit::Prove { seq, hub } => match Client::new(&hub.url).get(&format!("/audit/prove/{seq}")).await {
            Ok(proof) => {
                out::line(proof.to_string());
                ExitCode::SUCCESS
            }
            Err(error) => failed(&error),
        },
        Audit::Show { seq, hub } => {
            print(hub, Client::new(&hub.url).get(&format!("/audit/{seq}")).await, shown_texts)
        }
        Audit::Erase(args) => erase(args).await,
        Audit::Export { ocsf, hub } => {
            let path = if *ocsf { "/audit/export?form=ocsf" } else { "/audit/export" };
            match Client::new(&hub.url).copy(path, out::bytes).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
    }
}

async fn list(args: &AuditList) -> ExitCode {
    let beside = [("tenant", &args.which.tenant), ("segment", &args.segment)];
    let beside = beside.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let mut path = format!("/audit?limit={}", args.lines.clamp(1, 1000));
    for (name, value) in args.which.given().chain(beside) {
        path += &format!("&{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
    }
    print(&args.hub, Client::new(&args.hub.url).get(&path).await, |value| {
        let records = value["audit"].as_array().map(Vec::as_slice).unwrap_or_default();
        let rows = records.iter().rev().map(|record| {
            let outcome =
                if record["phase"] == "report" { text(&record["details"]) } else { text(&record["outcome"]) };
            let cells = [
                text(&record["seq"]),
                when(record["at_us"].as_i64()),
                text(&record["tenant"]),
                text(&record["actor"]),
                text(&record["action"]),
                text(&record["server"]),
                text(&record["object"]),
                text(&record["phase"]),
                text(&record["decision"]),
                outcome.chars().take(80).collect(),
            ];
            cells.map(|cell| out::harmless(&cell)).into()
        });
        let head =
            ["SEQ", "TIME", "TENANT", "ACTOR", "ACTION", "SERVER", "OBJECT", "PHASE", "DECISION", "OUTCOME"];
        columns(&head, &rows.collect::<Vec<_>>())
    })
}

/// A record and its texts, for people.
fn shown_texts(found: &Value) -> String {
    let mut lines = vec![out::harmless(&found["record"].to_string())];
    for name in ["arguments", "result"] {
        let note = match &found[name]["is_recorded"] {
            Value::Bool(true) => "",
            Value::Bool(false) => " (NOT the text that the record stands for)",
            _ => continue,
        };
        lines.push(format!("{name}{note}: {}", out::harmless(&text(&found[name]["text"]))));
    }
    if lines.len() == 1 {
        lines.push("nothing is kept of what was given and answered (audit.texts)".to_owned());
    }
    lines.join("\n")
}

async fn erase(args: &AuditErase) -> ExitCode {
    let mut path = "/audit/erase".to_owned();
    if let Some(tenant) = &args.which.tenant {
        path += &format!("?tenant={}", utf8_percent_encode(tenant, NON_ALPHANUMERIC));
    }
    let given = args.which.given().chain(args.until.iter().map(|until| ("until", until)));
    let mut body: serde_json::Map<String, Value> =
        given.map(|(name, value)| (name.to_owned(), value.as_str().into())).collect();
    body.extend(args.seq.map(|seq| ("seq".to_owned(), seq.into())));
    body.extend(args.yes.then(|| ("confirm".to_owned(), true.into())));
    let answer = Client::new(&args.hub.url).post(&path, Value::Object(body).to_string()).await;
    print(&args.hub, answer, |value| {
        let (records, texts) = (text(&value["erased"]["records"]), text(&value["erased"]["texts"]));
        format!("erased the salts of {records} and the texts of {texts}; the records themselves stay")
    })
}

async fn verify_hub(hub: &HubArg) -> ExitCode {
    let answer = Client::new(&hub.url).get("/audit/verify").await;
    let is_well = answer.as_ref().is_ok_and(|value| value["ok"] == true);
    let code = print(hub, answer, shown);
    if is_well { code } else { ExitCode::FAILURE }
}

/// What was found, in words.
fn shown(found: &Value) -> String {
    let mut lines: Vec<String> = Vec::new();
    for fault in found["faults"].as_array().into_iter().flatten() {
        lines.push(format!("{}: {}", text(&fault["kind"]), text(&fault["what"])));
    }
    let (size, checkpoints) = (text(&found["size"]), text(&found["checkpoints"]));
    lines.push(match lines.len() {
        0 => format!("the trail is whole: {size} records, compared with {checkpoints} checkpoints"),
        1 => format!("1 fault in {size} records, compared with {checkpoints} checkpoints"),
        faults => format!("{faults} faults in {size} records, compared with {checkpoints} checkpoints"),
    });
    if let Some(unsealed @ 1..) = found["unsealed"].as_u64() {
        lines.push(format!(
            "the last {unsealed} are newer than every checkpoint, so nothing stands for them yet"
        ));
    }
    lines.push(format!("root {}", text(&found["root"])));
    lines.push(format!("key  {}", text(&found["key"])));
    lines.extend(found["segments"].as_array().into_iter().flatten().map(segment));
    lines.join("\n")
}

/// A trail that came with an archive, in words.
fn segment(found: &Value) -> String {
    let verdict = &found["verdict"];
    let (name, size) = (text(&found["segment"]), text(&verdict["size"]));
    let by = match found["key"].as_str() {
        Some(key) => format!("compared with {} checkpoints of {key}", text(&verdict["checkpoints"])),
        None => "signed by nobody, so it is only as it came".to_owned(),
    };
    let faults: Vec<_> = verdict["faults"].as_array().into_iter().flatten().collect();
    let head = match faults.len() {
        0 => format!("segment {name} is whole: {size} records, {by}"),
        1 => format!("segment {name} has 1 fault in {size} records, {by}"),
        count => format!("segment {name} has {count} faults in {size} records, {by}"),
    };
    let each = faults.iter().map(|fault| format!("\n  {}: {}", text(&fault["kind"]), text(&fault["what"])));
    head + &each.collect::<String>()
}

/// Verifies an archive, with the audit trails in it.
fn verify_archive(file: &Path, key: Option<&str>) -> Result<Value> {
    let bad = |why: String| Error::caller(Code::BadRequest, format!("{}: {why}", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| bad(error.to_string()))?;
    let Checked { records, trails } =
        archive::check(BufReader::new(opened).lines()).map_err(|error| bad(error.to_string()))?;
    if let Some(key) = key.filter(|key| !trails.iter().any(|trail| trail.key.as_deref() == Some(key))) {
        return Err(bad(format!("no audit trail in it is signed by {key}")));
    }
    Ok(json!({"ok": true, "records": records, "trails": trails}))
}

fn shown_archive(found: &Value) -> String {
    let trails = found["trails"].as_array().into_iter().flatten().map(|trail| {
        let by = match trail["key"].as_str() {
            Some(key) => format!("compared with {} checkpoints of {key}", text(&trail["checkpoints"])),
            None => "signed by nobody".to_owned(),
        };
        format!("\ntrail {} is whole: {} records, {by}", text(&trail["segment"]), text(&trail["records"]))
    });
    format!("the archive is whole: {} records", text(&found["records"])) + &trails.collect::<String>()
}

/// Whether a file begins as archives do.
fn is_archive(file: &Path) -> bool {
    let mut begins = Vec::new();
    let read = std::fs::File::open(file)
        .map(|file| file.take(archive::BEGINNING.len() as u64).read_to_end(&mut begins));
    read.is_ok() && begins == archive::BEGINNING.as_bytes()
}

fn verify_file(file: &Path, key: Option<&str>, is_json: bool) -> ExitCode {
    if is_archive(file) {
        let found = match verify_archive(file, key) {
            Ok(found) => found,
            Err(error) => return failed(&error),
        };
        out::line(if is_json { found.to_string() } else { shown_archive(&found) });
        if key.is_none() {
            out::error_line("the keys are those of the file itself; name the one that you trust with --key");
        }
        return ExitCode::SUCCESS;
    }
    let found = match verified(file, key) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    out::line(if is_json { found.to_string() } else { shown(&found) });
    if key.is_none() {
        out::error_line("the key is that of the file itself; name the one that you trust with --key");
    }
    if found["ok"] == true { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Verifies an export, or a proof of one record.
fn verified(file: &Path, key: Option<&str>) -> Result<Value> {
    let bad = |why: String| Error::caller(Code::BadRequest, format!("{}: {why}", file.display()));
    let opened = std::fs::File::open(file).map_err(|error| bad(error.to_string()))?;
    let mut lines = BufReader::new(opened).lines().map(|line| line.map_err(|error| bad(error.to_string())));
    let first = lines.next().transpose()?.unwrap_or_default();
    let head: Value =
        serde_json::from_str(&first).map_err(|_| bad("this is no export of an audit trail".into()))?;
    let given = key.or(head["key"].as_str()).unwrap_or_default();
    let key = Verifier::parse(given)
        .ok_or_else(|| bad(format!("{given:?} is no key: it looks like puerto/audit+…")))?;
    if head.get("record").is_some() {
        let checkpoint = verify::proof(&head, &key).map_err(bad)?;
        let root = verify::hex(&checkpoint.root);
        return Ok(
            json!({"ok": true, "size": checkpoint.size, "checkpoints": 1, "unsealed": 0, "root": root,
            "faults": [], "key": key.to_string()}),
        );
    }
    if head["puerto_audit"] != 1 {
        return Err(bad("this is no export of an audit trail that this Puerto knows".into()));
    }
    let records: Vec<String> = lines.collect::<Result<_>>()?;
    let (checkpoints, records) = match records.split_last() {
        Some((last, records)) => {
            match serde_json::from_str::<Value>(last).map(|last| last["checkpoints"].clone()) {
                Ok(Value::String(checkpoints)) => (checkpoints, records),
                _ => return Err(bad("the file ends before its checkpoints: it was cut off".into())),
            }
        }
        None => return Err(bad("the file ends before its checkpoints: it was cut off".into())),
    };
    let mut verification = Verification::new(&checkpoints, &key);
    let hashes = tree::leaves(records.iter().map(String::as_bytes));
    for (n, (record, hash)) in records.iter().zip(hashes).enumerate() {
        let own = verify::number(record);
        verification.take(own.unwrap_or(n as u64 + 1), own, hash, true);
    }
    let verdict: Verdict = verification.end_of_export(head["records"].as_u64().unwrap_or_default());
    let mut found = serde_json::to_value(&verdict).unwrap_or_default();
    found["ok"] = verdict.faults.is_empty().into();
    found["key"] = key.to_string().into();
    Ok(found)
}
