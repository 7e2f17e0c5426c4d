//! `puerto export --client`: the entry that points a client at the hub, printed or merged into the client's file.

use std::path::PathBuf;
use std::process::ExitCode;

use puerto_core::def::GatewayDef;
use puerto_core::{ProfileName, ServerName, TenantId};
use serde_json::{Value as Json, json};

use super::edit::{self, Done, Layout, Source};
use super::import::codex;
use super::{places, refused};
use crate::cli::{ClientKind, Export};
use crate::config::{self, Origin, Problem};
use crate::out;

/// Runs the command.
pub(crate) fn run(args: &Export, client: ClientKind) -> ExitCode {
    // Only the gateway matters here: a variable that some server lacks is no reason to refuse.
    let origin = config::locate(args.config.config.as_deref(), &super::env);
    let gateway = match super::load_without_variables(&origin) {
        Some(def) => def.gateway,
        None => match super::load(&args.config) {
            Ok((def, _)) => def.gateway,
            Err(code) => return code,
        },
    };
    match export(args, client, &gateway) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => refused(&problem),
    }
}

fn export(args: &Export, client: ClientKind, gateway: &GatewayDef) -> Done<()> {
    ServerName::new(&args.name).map_err(|e| Problem::error(e.to_string()))?;
    TenantId::new(tenant_of(args)).map_err(|e| Problem::error(e.to_string()))?;
    args.profile.as_deref().map(ProfileName::new).transpose().map_err(|e| Problem::error(e.to_string()))?;
    let entry = entry(args, client, gateway)?;
    let file = file(args, client)?;
    let shown = places::shown(&file, &super::env);
    if !args.write {
        out::error_line(format!("for {}, in {shown} (--write puts it there):", client.title()));
        out::line(match client {
            ClientKind::Codex => table(&args.name, &entry),
            client => merged(&shown, None, list_of(client), &args.name, &entry)?
                .unwrap_or_default()
                .trim_end()
                .to_owned(),
        });
        return Ok(());
    }
    let before = edit::read(&file)?.filter(|text| !text.trim().is_empty());
    let after = match client {
        ClientKind::Codex => in_toml(&shown, before.as_deref(), &args.name, &entry)?,
        client => merged(&shown, before.as_deref(), list_of(client), &args.name, &entry)?,
    };
    let Some(after) = after else {
        out::line(format!("{shown} has this entry already; nothing was written"));
        return Ok(());
    };
    let backup = edit::write(&file, &after)?;
    let kept =
        backup.map(|path| format!("; as it was: {}", places::shown(&path, &super::env))).unwrap_or_default();
    out::line(format!("{} is in {shown}{kept}", args.name));
    out::line(format!("restart {} to use it", client.title()));
    Ok(())
}

/// The tenant that the client works in.
fn tenant_of(args: &Export) -> &str {
    args.tenant.as_deref().unwrap_or("default")
}

/// The client's file that is meant.
fn file(args: &Export, client: ClientKind) -> Done<PathBuf> {
    let title = client.title();
    if args.project {
        let none = || Problem::error(format!("{title} has no file of a project")).help("leave --project out");
        return Ok(client.project_file().map(PathBuf::from).ok_or_else(none)?);
    }
    let nowhere = || Problem::error("nothing says where your home directory is").help("set HOME");
    Ok(client.user_file(&super::env).ok_or_else(nowhere)?)
}

/// The key under which a client lists servers.
fn list_of(client: ClientKind) -> &'static str {
    if client == ClientKind::Vscode { "servers" } else { "mcpServers" }
}

/// What the client has to know, in the order in which people write it.
fn entry(args: &Export, client: ClientKind, gateway: &GatewayDef) -> Done<Vec<(String, Json)>> {
    let typed = matches!(client, ClientKind::ClaudeCode | ClientKind::Vscode);
    let over_http = args.http || !args.stdio && client != ClientKind::ClaudeDesktop;
    let mut entry = Vec::new();
    if !over_http {
        if typed {
            entry.push(("type", json!("stdio")));
        }
        let (program, arguments) = command(args)?;
        entry.extend([("command", json!(program)), ("args", json!(arguments))]);
    } else {
        if client == ClientKind::ClaudeDesktop {
            let problem = Problem::error("the file of Claude Desktop holds commands only, and no addresses");
            return Err(problem.help("take --stdio: the command joins the hub that runs").into());
        }
        if gateway.port == 0 {
            let problem =
                Problem::error("gateway.port is 0, so the hub's address is another one at every start");
            return Err(problem.help("set a port, or take --stdio").into());
        }
        if typed {
            entry.push(("type", json!("http")));
        }
        let key = if client == ClientKind::Windsurf { "serverUrl" } else { "url" };
        entry.push((key, json!(url(gateway, tenant_of(args), args.profile.as_deref()))));
    }
    Ok(entry.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn url(gateway: &GatewayDef, tenant: &str, profile: Option<&str>) -> String {
    let host = gateway.host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let tenant = if tenant == "default" { String::new() } else { format!("/{tenant}") };
    let profile = profile.map(|profile| format!("?profile={profile}")).unwrap_or_default();
    format!("http://{host}:{}/mcp{tenant}{profile}", gateway.port)
}

/// The command as a whole path, since programs with windows seldom know the user's `PATH`, and with the whole
/// path of the configuration, since they start commands in any directory.
fn command(args: &Export) -> Done<(String, Vec<String>)> {
    let failed = |what: &str, e: std::io::Error| Problem::error(format!("could not find {what}: {e}"));
    let program = std::env::current_exe().map_err(|e| failed("this program's own path", e))?;
    let mut arguments = vec!["stdio".to_owned()];
    if let Origin::File(file) = config::locate(args.config.config.as_deref(), &super::env) {
        let file = std::path::absolute(&file).map_err(|e| failed("the configuration's path", e))?;
        arguments.extend(["--config".to_owned(), file.display().to_string()]);
    }
    if tenant_of(args) != "default" {
        arguments.extend(["--tenant".to_owned(), tenant_of(args).to_owned()]);
    }
    if let Some(profile) = &args.profile {
        arguments.extend(["--profile".to_owned(), profile.clone()]);
    }
    Ok((program.display().to_string(), arguments))
}

/// The client's JSON with the entry in it; `None` where it is there already.
fn merged(
    file: &str,
    before: Option<&str>,
    list: &str,
    name: &str,
    entry: &[(String, Json)],
) -> Done<Option<String>> {
    let text = before.unwrap_or("{}\n");
    let source = Source::json(file, text.to_owned())?;
    let is_command = entry.iter().any(|(key, _)| key == "command");
    let value = if is_command { Layout::Lines(entry.to_vec()) } else { Layout::Compact(entry.to_vec()) };
    let is_object = |node: &config::json::Node| matches!(node.value, config::json::Value::Object(_));
    let servers = source.root.get(list);
    if let Some(wrong) = [Some(&source.root), servers].into_iter().flatten().find(|node| !is_object(node)) {
        let problem =
            Problem::error("this should be an object, so nothing was written").help("write { … } here");
        return Err(source.wrong(wrong.span, &config::problem::Path::Root, problem.path(list)));
    }
    let Some(servers) = servers else {
        let members = [(list.to_owned(), Layout::Open(vec![(name.to_owned(), value)]))];
        return Ok(Some(edit::append(text, &source.root, &members)));
    };
    let Some(there) = servers.get(name) else {
        return Ok(Some(edit::append(text, servers, &[(name.to_owned(), value)])));
    };
    let wanted: Json = entry.iter().cloned().collect::<serde_json::Map<_, _>>().into();
    Ok((there.to_json() != wanted).then(|| edit::replace(text, there, &value)))
}

/// The entry as a table of TOML. Texts and lists of them are written as in JSON.
fn table(name: &str, entry: &[(String, Json)]) -> String {
    let lines = entry.iter().map(|(key, value)| format!("{key} = {}", edit::one_line(value)));
    [format!("[mcp_servers.{name}]")].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// Codex's TOML with the entry in it; `None` where it is there already. Everything else stays as it is, which
/// is looked at again before anything is written.
fn in_toml(file: &str, before: Option<&str>, name: &str, entry: &[(String, Json)]) -> Done<Option<String>> {
    let text = before.unwrap_or_default();
    let source = codex::source(file, text.to_owned())?;
    let of = |root: &config::json::Node| {
        root.get("mcp_servers").and_then(|servers| servers.get(name)).map(config::json::Node::to_json)
    };
    let wanted: Json = entry.iter().cloned().collect::<serde_json::Map<_, _>>().into();
    let there = of(&source.root);
    if there.as_ref() == Some(&wanted) {
        return Ok(None);
    }
    let own = format!("[mcp_servers.{name}]");
    let below = format!("[mcp_servers.{name}.");
    let is_own = |line: &str| line.trim_start().starts_with(&own) || line.trim_start().starts_with(&below);
    let (mut kept, mut between) = (String::new(), String::new());
    let mut inside = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_start();
        if bare.starts_with('[') {
            inside = is_own(line);
        }
        if !inside {
            // Comments above a table belong to it, also where the table before goes.
            kept.push_str(&std::mem::take(&mut between));
            kept.push_str(line);
        } else if bare.is_empty() || bare.starts_with('#') {
            between.push_str(line);
        } else {
            between.clear();
        }
    }
    kept.push_str(between.trim_end());
    let gap = match kept.trim_end() {
        "" => "",
        _ if kept.ends_with("\n\n") => "",
        _ if kept.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    let after = format!("{kept}{gap}{}\n", table(name, entry));
    let without = |mut root: Json| {
        if let Some(servers) = root.get_mut("mcp_servers").and_then(Json::as_object_mut) {
            servers.remove(name);
        }
        root
    };
    let is_whole = codex::source(file, after.clone()).is_ok_and(|done| {
        let mut old = source.root.to_json();
        if old.get("mcp_servers").is_none() {
            old["mcp_servers"] = json!({});
        }
        of(&done.root).as_ref() == Some(&wanted) && without(done.root.to_json()) == without(old)
    });
    if is_whole {
        return Ok(Some(after));
    }
    let problem =
        Problem::error(format!("mcp_servers.{name} is written in a way that cannot be changed safely"));
    Err(problem.file(file).help(format!("put this in its place:\n{}", table(name, entry))).into())
}
