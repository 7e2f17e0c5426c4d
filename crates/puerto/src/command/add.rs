//! `puerto add`: one server, told on the command line as to other clients.

use std::process::ExitCode;

use puerto_core::{ServerName, TenantId};

use super::draft::Draft;
use super::edit::{self, Done, Source};
use super::{config_file, refused};
use crate::cli::Add;
use crate::config::Problem;
use crate::out;

/// Runs the command.
pub(crate) fn run(args: &Add) -> ExitCode {
    match add(args) {
        Ok(said) => {
            out::line(said);
            ExitCode::SUCCESS
        }
        Err(problem) => refused(&problem),
    }
}

fn add(args: &Add) -> Done<String> {
    ServerName::new(&args.name).map_err(|e| Problem::error(e.to_string()))?;
    TenantId::new(&args.tenant).map_err(|e| Problem::error(e.to_string()))?;
    let draft = draft(args)?;
    let file = config_file(&args.config);
    let name = file.display().to_string();
    let before = edit::read(&file)?;
    if let Some(text) = &before {
        let source = Source::json(&name, text.clone())?;
        let servers = edit::servers_of(&source.root, &args.tenant);
        if let Some(there) = servers.iter().find(|member| member.key == args.name) {
            if draft.says_the_same(&there.node) {
                return Ok(format!("{name}: the same {} is there already; nothing was written", args.name));
            }
            let help = "choose another name, or change or remove this one by hand";
            let problem = Problem::error(format!("another server is named {:?}", args.name));
            let path = format!("tenants.{}.servers.{}", args.tenant, args.name);
            return Err(source.wrong(
                there.key_span,
                &crate::config::problem::Path::Root,
                problem.path(path).help(help),
            ));
        }
    }
    let servers = [(args.name.clone(), draft.clone())];
    let after = edit::with_servers(&name, before.as_deref(), &args.tenant, &servers)?;
    if let Some(problem) = edit::new_errors(&name, before.as_deref(), &after).into_iter().next() {
        return Err(problem.into());
    }
    let mut lines = vec![format!("{}: {}", args.name, draft.shown())];
    if args.dry_run {
        lines.push(format!("{name} was left as it is (--dry-run)"));
        return Ok(lines.join("\n"));
    }
    let backup = edit::write(&file, &after)?;
    let kept = backup.map(|path| format!("; as it was: {}", path.display())).unwrap_or_default();
    lines.push(format!("added to the tenant {} of {name}{kept}", args.tenant));
    lines.extend(draft.unset().into_iter().map(|variable| format!("set {variable} before Puerto starts")));
    Ok(lines.join("\n"))
}

fn draft(args: &Add) -> Done<Draft> {
    let given: Vec<_> = args.target.iter().chain(&args.command).cloned().collect();
    let usage = "puerto add NAME URL, or puerto add NAME -- COMMAND ARGS";
    let (first, rest) = given.split_first().ok_or_else(|| {
        Problem::error("nothing says how to reach this server").help(format!("write {usage}"))
    })?;
    let mut draft = Draft { cwd: args.cwd.clone(), ..Draft::default() };
    let follows = match first.split_once("://") {
        Some((scheme, _)) if args.command.is_empty() => {
            if !rest.is_empty() {
                return Err(Problem::error("there is more than one address")
                    .help(format!("write {usage}"))
                    .into());
            }
            draft.url = Some(first.clone());
            match scheme.to_ascii_lowercase().as_str() {
                "ws" | "wss" => "websocket",
                "tcp" => "tcp",
                _ => "url",
            }
        }
        _ => {
            draft.command = Some(first.clone());
            draft.args = rest.to_vec();
            "stdio"
        }
    };
    if let Some(given) = &args.transport {
        let known = transport(given).ok_or_else(|| {
            let problem = Problem::error("this transport is not known");
            problem.expected(format!("{given:?}"), "stdio, http, sse, websocket, tcp or openapi")
        })?;
        if known != follows {
            draft.transport = Some(known);
        }
    }
    draft.env = pairs(&args.env, '=', "--env KEY=VALUE")?;
    draft.headers = pairs(&args.header, ':', "--header 'NAME: VALUE'")?;
    Ok(draft)
}

/// The transport that a word of any program stands for.
pub(super) fn transport(word: &str) -> Option<&'static str> {
    match word.to_ascii_lowercase().replace(['-', '_'], "").as_str() {
        "stdio" => Some("stdio"),
        "http" | "streamablehttp" => Some("http"),
        "sse" => Some("sse"),
        "ws" | "wss" | "websocket" => Some("websocket"),
        "tcp" => Some("tcp"),
        "openapi" => Some("openapi"),
        _ => None,
    }
}

/// Names with values, as given on a command line.
pub(super) fn pairs(given: &[String], between: char, usage: &str) -> Done<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once(between) {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), if between == ':' { value.trim() } else { value }.to_owned()))
        }
        _ => Err(Problem::error(format!("{text:?} is not understood")).help(format!("write {usage}")).into()),
    };
    given.iter().map(pair).collect()
}
