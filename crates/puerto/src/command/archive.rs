//! `puerto export` and `puerto restore`: everything that a running hub keeps, as one file.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressStyle};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use puerto_core::{Code, Error, Result};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::ask::{columns, print, text};
use super::client::Client;
use super::failed;
use crate::cli::{Export, ExportForm, Restore, RestoreMode};
use crate::out;

/// Bytes of a file that go out at once.
const PIECE: usize = 256 * 1024;
/// Pieces that wait to be sent.
const PIECES_WAITING_MAX: usize = 4;
/// Longest last line of an archive that is shown: one member for each section.
const MANIFEST_MAX: usize = 1024 * 1024;

/// `puerto export`, without a client.
pub(crate) async fn export(args: &Export) -> ExitCode {
    let form = match args.form {
        ExportForm::Archive => "archive",
        ExportForm::Context => "context",
    };
    let tenant =
        args.tenant.as_deref().map(|of| format!("&tenant={}", utf8_percent_encode(of, NON_ALPHANUMERIC)));
    let audit = !args.no_audit;
    let path = format!("/export?form={form}&audit={audit}{}", tenant.unwrap_or_default());
    let client = Client::new(&args.hub.url);
    let Some(file) = &args.file else {
        return match client.copy(&path, out::bytes).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failed(&error),
        };
    };
    match written(&client, &path, file).await {
        Ok((bytes, last)) => {
            let said = json!({"file": file, "bytes": bytes, "sections": last["manifest"]});
            print(&args.hub, Ok(said), |said| exported(said, args.form))
        }
        Err(error) => failed(&error),
    }
}

/// Shows on a terminal how much has gone by.
fn progress(name: &Path) -> ProgressBar {
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bytes} {binary_bytes_per_sec}") {
        bar.set_style(style);
    }
    bar.with_message(out::harmless(&name.display().to_string()))
}

/// Writes an answer to a file, which takes the place of an earlier one only when it is whole. Answers its size, and its
/// last line where that is JSON.
async fn written(client: &Client, path: &str, to: &Path) -> Result<(u64, Value)> {
    let part = to.with_added_extension("part");
    let wrong = |error: &std::io::Error| {
        Error::caller(Code::BadRequest, format!("could not write {}: {error}", part.display()))
    };
    let mut file = private(&part).map_err(|error| wrong(&error))?;
    let (mut bytes, mut last, mut broken) = (0_u64, Vec::new(), None);
    let bar = progress(to);
    let copied = client
        .copy(path, |piece| {
            bytes += piece.len() as u64;
            bar.set_position(bytes);
            remember(&mut last, piece);
            if broken.is_none() {
                broken = file.write_all(piece).err();
            }
        })
        .await;
    bar.finish_and_clear();
    let done = copied.and_then(|()| match broken {
        Some(error) => Err(wrong(&error)),
        None => file.sync_all().and_then(|()| std::fs::rename(&part, to)).map_err(|error| wrong(&error)),
    });
    if let Err(error) = done {
        let _ = std::fs::remove_file(&part);
        return Err(error);
    }
    Ok((bytes, serde_json::from_slice(&last).unwrap_or_default()))
}

/// What everybody did is nothing for everybody.
fn private(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Keeps what may be the last line.
fn remember(last: &mut Vec<u8>, piece: &[u8]) {
    let ended = piece.strip_suffix(b"\n").unwrap_or(piece);
    if let Some(at) = ended.iter().rposition(|byte| *byte == b'\n') {
        last.clear();
        last.extend_from_slice(&piece[at + 1..]);
    } else {
        if last.ends_with(b"\n") {
            last.clear();
        }
        last.extend_from_slice(piece);
    }
    if last.len() > MANIFEST_MAX {
        last.clear();
    }
}

fn exported(said: &Value, form: ExportForm) -> String {
    let head = format!("{}: {} bytes", text(&said["file"]), said["bytes"]);
    if form == ExportForm::Context {
        return head;
    }
    let sections = said["sections"].as_array().into_iter().flatten();
    let rows = sections.map(|one| vec![text(&one["section"]), text(&one["records"]), text(&one["sha256"])]);
    format!("{head}\n{}", columns(&["SECTION", "RECORDS", "SHA-256"], &rows.collect::<Vec<_>>()))
}

/// `puerto restore`.
pub(crate) async fn restore(args: Restore) -> ExitCode {
    let replaces = args.mode == RestoreMode::Replace && !args.dry_run;
    if replaces && !args.yes && !confirmed() {
        let text = "nothing was changed: --mode replace deletes what is there, so confirm it with --yes, or see with \
                    --dry-run what it would do";
        return failed(&Error::caller(Code::BadRequest, text));
    }
    let mode = if args.mode == RestoreMode::Replace { "replace" } else { "merge" };
    let tenant =
        args.tenant.as_deref().map(|of| format!("&tenant={}", utf8_percent_encode(of, NON_ALPHANUMERIC)));
    let path = format!(
        "/import?mode={mode}&dry_run={}&confirm={replaces}{}",
        args.dry_run,
        tenant.unwrap_or_default()
    );
    let (to, from) = mpsc::channel(PIECES_WAITING_MAX);
    let (file, name) = (args.file.clone(), args.file.display().to_string());
    let bar = progress(&args.file);
    let shown = bar.clone();
    let reading = tokio::task::spawn_blocking(move || read(file, &to, &shown));
    let answer = Client::new(&args.hub.url).hand_in(&path, from).await;
    bar.finish_and_clear();
    // What could not be read is why the hub did not get it all.
    if answer.is_err()
        && let Ok(Err(error)) = reading.await
    {
        return failed(&Error::caller(Code::BadRequest, format!("could not read {name}: {error}")));
    }
    print(&args.hub, answer, restored)
}

/// Asks whoever sits before a terminal.
fn confirmed() -> bool {
    if !std::io::stdin().is_terminal() {
        return false;
    }
    out::error_line("replace what the hub keeps by what the archive holds? [y/N]");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).is_ok_and(|_| matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn read(file: PathBuf, to: &mpsc::Sender<Bytes>, bar: &ProgressBar) -> std::io::Result<()> {
    let mut from: Box<dyn Read> =
        if file.as_os_str() == "-" { Box::new(std::io::stdin().lock()) } else { Box::new(File::open(file)?) };
    loop {
        let mut piece = vec![0; PIECE];
        let length = from.read(&mut piece)?;
        piece.truncate(length);
        bar.inc(length as u64);
        // Whoever does not listen any more has answered, and says why.
        if length == 0 || to.blocking_send(piece.into()).is_err() {
            return Ok(());
        }
    }
}

fn restored(report: &Value) -> String {
    let sections = report["sections"].as_array().into_iter().flatten();
    let rows = sections.map(|one| {
        let name = match one["segment"].as_str() {
            Some(segment) => format!("{} (segment {segment})", text(&one["section"])),
            None => text(&one["section"]),
        };
        let counts = ["records", "added", "present", "removed"].map(|count| text(&one[count]));
        [vec![name], counts.into()].concat()
    });
    let table = columns(&["SECTION", "RECORDS", "ADDED", "PRESENT", "REMOVED"], &rows.collect::<Vec<_>>());
    match report["dry_run"] == true {
        true => format!("{table}\nnothing was changed: this is what would happen"),
        false => table,
    }
}
