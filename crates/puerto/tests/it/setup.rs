//! Setting up: `init`, `add`, `export` and `doctor`, on files as other programs write them; `import` beside, bundles in a file of their own.

mod bundle;
mod import;

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use expect_test::expect;
use puerto_testkit::{Hub, root};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::PUERTO;

/// A directory with a home directory in it, and nothing else.
struct Place {
    _own: TempDir,
    dir: PathBuf,
}

/// What a command printed, with the directory's own path as `DIR`.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let own = TempDir::new().unwrap();
        let dir = own.path().canonicalize().unwrap();
        std::fs::create_dir(dir.join("home")).unwrap();
        Self { _own: own, dir }
    }

    /// With the sample files.
    fn with_samples() -> Self {
        let place = Self::new();
        let samples = root().join("crates/puerto/tests/samples");
        let copied = Command::new("cp").arg("-r").arg(samples).arg(&place.dir).status().unwrap();
        assert!(copied.success());
        place
    }

    fn output(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        let mut command = Command::new(PUERTO);
        command.env_clear().env("HOME", self.dir.join("home")).env("PATH", "/usr/bin:/bin");
        command.envs(env.iter().copied()).current_dir(&self.dir).stdin(Stdio::null());
        command.args(args).output().unwrap()
    }

    fn run_in(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        let done = self.output(args, env);
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            text.replace(self.dir.to_str().unwrap(), "DIR").replace(PUERTO, "PUERTO")
        };
        Said { code: done.status.code(), out: text(&done.stdout), err: text(&done.stderr) }
    }

    fn run(&self, args: &[&str]) -> Said {
        self.run_in(args, &[])
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(self.dir.join(file)).unwrap()
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn has(&self, file: &str) -> bool {
        self.dir.join(file).exists()
    }
}

impl Said {
    fn good(&self) -> &str {
        assert_eq!((self.code, &*self.err), (Some(0), ""), "{self:?}");
        &self.out
    }

    fn bad(&self) -> &str {
        assert_eq!(self.code, Some(1), "{self:?}");
        &self.err
    }
}

#[test]
fn a_first_configuration_is_written_once() {
    let place = Place::new();
    let said = place.run(&["init"]);
    expect![[r#"
        wrote config/servers.json
          take over servers:  puerto import --from claude-desktop
          add one:            puerto add git -- uvx mcp-server-git
          check it:           puerto check
          start:              puerto up
    "#]]
    .assert_eq(said.good());
    assert_eq!(place.run(&["check"]).good(), "config/servers.json: ok (1 tenant, 1 server)\n");
    place.write("config/servers.json", "{ \"mine\": 1 }");
    let said = place.run(&["init"]);
    expect![[r#"
        error: there is a configuration already, and it was left as it is
         --> config/servers.json
          = help: add to it with `puerto add` or `puerto import`, or name another file with --config FILE
    "#]]
    .assert_eq(said.bad());
    assert_eq!(place.read("config/servers.json"), "{ \"mine\": 1 }");
    assert_eq!(place.run(&["init", "--config", "other/hub.json"]).code, Some(0));
    place.run(&["check", "--config", "other/hub.json"]).good();
}

/// Every example in the comments of the first configuration is valid too.
#[test]
fn the_examples_of_the_first_configuration_are_good() {
    let place = Place::new();
    place.run(&["init"]).good();
    let text = place.read("config/servers.json").replace("//   \"", "\"");
    place.write("config/servers.json", &text);
    let said = place.run_in(&["check"], &[("REMOTE_TOKEN", "x")]);
    assert_eq!(said.good(), "config/servers.json: ok (1 tenant, 5 servers)\n");
}

#[test]
fn one_server_is_added() {
    let place = Place::new();
    let add = |args: &[&str]| {
        let said = place.run(&[&["add"], args].concat());
        format!("{}{}", said.out, said.err)
    };
    let said = [
        add(&["git", "--", "uvx", "mcp-server-git", "--repository", "."]),
        add(&["git", "--", "uvx", "mcp-server-git", "--repository", "."]),
        add(&["git", "--", "other"]),
        add(&[
            "-t",
            "http",
            "notion",
            "https://mcp.example.com/mcp",
            "-H",
            "Authorization: Bearer ${NOTION_TOKEN}",
        ]),
        add(&["old", "https://mcp.example.com/sse", "--transport", "sse", "--tenant", "team"]),
        add(&["side", "tcp://127.0.0.1:7001"]),
        add(&["files", "-e", "MODE=fast", "-e", "ROOT=/srv", "--cwd", "data", "--", "npx", "-y", "files"]),
        add(&["bad name", "--", "x"]),
        add(&["bad", "--transport", "grpc", "--", "x"]),
        add(&["bad", "https://me:secret@example.com/"]),
        add(&["bad", "-e", "nothing", "--", "x"]),
        add(&["bad"]),
        add(&["look", "--dry-run", "--", "x"]),
    ];
    expect![[r#"
        git: uvx mcp-server-git --repository .
        added to the tenant default of config/servers.json
        ---
        config/servers.json: the same git is there already; nothing was written
        ---
        error: another server is named "git"
         --> config/servers.json:7:9
          |
        7 |         "git": { "command": "uvx", "args": ["mcp-server-git", "--repository", "."] }
          |         ^^^^^
          = at tenants.default.servers.git
          = help: choose another name, or change or remove this one by hand
        ---
        notion: https://mcp.example.com/mcp (http)
        added to the tenant default of config/servers.json; as it was: config/servers.json.bak-1
        set NOTION_TOKEN before Puerto starts
        ---
        old: https://mcp.example.com/sse (sse)
        added to the tenant team of config/servers.json; as it was: config/servers.json.bak-2
        ---
        side: tcp://127.0.0.1:7001
        added to the tenant default of config/servers.json; as it was: config/servers.json.bak-3
        ---
        files: npx -y files
        added to the tenant default of config/servers.json; as it was: config/servers.json.bak-4
        ---
        error: server name "bad name" is not valid: use 1 to 64 of a-z, A-Z, 0-9, '-' and '_', and start with a letter or a digit
        ---
        error: this transport is not known: found "grpc", expected stdio, http, sse, websocket, tcp or openapi
        ---
        error: an address holds no user and no password
          --> config/servers.json:20:25
           |
        20 |         "bad": { "url": "https://me:secret@example.com/" }
           |                         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
           = at tenants.default.servers.bad.url
           = help: write them as a header: "headers": { "Authorization": "Basic ${TOKEN}" }
        ---
        error: "nothing" is not understood
          = help: write --env KEY=VALUE
        ---
        error: nothing says how to reach this server
          = help: write puerto add NAME URL, or puerto add NAME -- COMMAND ARGS
        ---
        look: x
        config/servers.json was left as it is (--dry-run)
    "#]].assert_eq(&said.join("---\n"));
    expect![[r#"
        // Puerto's configuration; every key is explained in docs/configuration.md.
        {
          "version": "1.0.0",
          "tenants": {
            "default": {
              "servers": {
                "git": { "command": "uvx", "args": ["mcp-server-git", "--repository", "."] },
                "notion": {
                  "transport": "http",
                  "url": "https://mcp.example.com/mcp",
                  "headers": { "Authorization": "Bearer ${NOTION_TOKEN}" }
                },
                "side": { "url": "tcp://127.0.0.1:7001" },
                "files": {
                  "command": "npx",
                  "args": ["-y", "files"],
                  "cwd": "data",
                  "env": { "MODE": "fast", "ROOT": "/srv" }
                }
              }
            },
            "team": {
              "servers": {
                "old": { "transport": "sse", "url": "https://mcp.example.com/sse" }
              }
            }
          }
        }
    "#]]
    .assert_eq(&place.read("config/servers.json"));
}

#[test]
fn every_client_gets_an_entry() {
    let place = Place::new();
    place.run(&["init"]).good();
    let mut all = String::new();
    for client in ["claude-desktop", "claude-code", "cursor", "vscode", "windsurf", "codex"] {
        for way in ["--stdio", "--http"] {
            let said = place.run(&["export", "--client", client, way, "--tenant", "default"]);
            all += &format!("== {client} {way}\n{}{}", said.err, said.out);
        }
    }
    expect![[r#"
        == claude-desktop --stdio
        for Claude Desktop, in ~/.config/Claude/claude_desktop_config.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": {
              "command": "PUERTO",
              "args": ["stdio", "--config", "DIR/config/servers.json"]
            }
          }
        }
        == claude-desktop --http
        error: the file of Claude Desktop holds commands only, and no addresses
          = help: take --stdio: the command joins the hub that runs
        == claude-code --stdio
        for Claude Code, in ~/.claude.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": {
              "type": "stdio",
              "command": "PUERTO",
              "args": ["stdio", "--config", "DIR/config/servers.json"]
            }
          }
        }
        == claude-code --http
        for Claude Code, in ~/.claude.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": { "type": "http", "url": "http://127.0.0.1:8080/mcp" }
          }
        }
        == cursor --stdio
        for Cursor, in ~/.cursor/mcp.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": {
              "command": "PUERTO",
              "args": ["stdio", "--config", "DIR/config/servers.json"]
            }
          }
        }
        == cursor --http
        for Cursor, in ~/.cursor/mcp.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": { "url": "http://127.0.0.1:8080/mcp" }
          }
        }
        == vscode --stdio
        for VS Code, in ~/.config/Code/User/mcp.json (--write puts it there):
        {
          "servers": {
            "puerto": {
              "type": "stdio",
              "command": "PUERTO",
              "args": ["stdio", "--config", "DIR/config/servers.json"]
            }
          }
        }
        == vscode --http
        for VS Code, in ~/.config/Code/User/mcp.json (--write puts it there):
        {
          "servers": {
            "puerto": { "type": "http", "url": "http://127.0.0.1:8080/mcp" }
          }
        }
        == windsurf --stdio
        for Windsurf, in ~/.codeium/windsurf/mcp_config.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": {
              "command": "PUERTO",
              "args": ["stdio", "--config", "DIR/config/servers.json"]
            }
          }
        }
        == windsurf --http
        for Windsurf, in ~/.codeium/windsurf/mcp_config.json (--write puts it there):
        {
          "mcpServers": {
            "puerto": { "serverUrl": "http://127.0.0.1:8080/mcp" }
          }
        }
        == codex --stdio
        for Codex, in ~/.codex/config.toml (--write puts it there):
        [mcp_servers.puerto]
        command = "PUERTO"
        args = ["stdio", "--config", "DIR/config/servers.json"]
        == codex --http
        for Codex, in ~/.codex/config.toml (--write puts it there):
        [mcp_servers.puerto]
        url = "http://127.0.0.1:8080/mcp"
    "#]]
    .assert_eq(&all);
    // A variable that a server lacks is no reason to refuse.
    place.run(&["add", "web", "https://example.com/mcp", "-H", "X-Key: ${KEY}"]).good();
    place.run(&["add", "api", "-t", "openapi", "https://example.com/openapi.json"]).good();
    let said = place.run(&["export", "--client", "cursor", "--tenant", "team", "--name", "hub"]);
    assert!(said.out.contains("\"hub\": { \"url\": \"http://127.0.0.1:8080/mcp/team\" }"), "{said:?}");
}

#[test]
fn an_entry_is_merged_into_a_clients_file() {
    let place = Place::with_samples();
    place.run(&["init"]).good();
    let file = "home/.cursor/mcp.json";
    place.write(file, &place.read("samples/cursor/.cursor/mcp.json"));
    let before = place.read(file);
    let write =
        |client: &str, more: &[&str]| place.run(&[&["export", "--write", "--client", client], more].concat());
    let said = write("cursor", &[]);
    expect![[r#"
        puerto is in ~/.cursor/mcp.json; as it was: ~/.cursor/mcp.json.bak-1
        restart Cursor to use it
    "#]]
    .assert_eq(said.good());
    let after = place.read(file);
    assert!(after.starts_with(before.split_once("    \"remote\"").unwrap().0), "{after}");
    assert!(
        after.ends_with("    \"puerto\": { \"url\": \"http://127.0.0.1:8080/mcp\" },\n  },\n}\n"),
        "{after}"
    );
    assert_eq!(place.read(&format!("{file}.bak-1")), before);
    assert!(write("cursor", &[]).good().contains("nothing was written"));
    write("cursor", &["--tenant", "team"]).good();
    assert_eq!(place.read(file), after.replace("8080/mcp\"", "8080/mcp/team\""));
    // What was written for a client is not taken for a server of its own.
    let said = place.run(&["import", "--from", "cursor", "--dry-run"]);
    assert!(said.good().contains("left out: this is Puerto itself"), "{said:?}");
    // Where there is no file it is made.
    write("vscode", &["--project"]).good();
    let made: Value = serde_json::from_str(&place.read(".vscode/mcp.json")).unwrap();
    assert_eq!(made, json!({"servers": {"puerto": {"type": "http", "url": "http://127.0.0.1:8080/mcp"}}}));
    place.write("home/.claude.json", "{ \"mcpServers\": [] }");
    assert!(write("claude-code", &[]).bad().contains("should be an object"));
}

#[test]
fn an_entry_is_merged_into_the_toml_of_codex() {
    let place = Place::with_samples();
    place.run(&["init"]).good();
    let file = "home/.codex/config.toml";
    place.write(file, &place.read("samples/codex/config.toml"));
    let before = place.read(file);
    let write = |more: &[&str]| place.run(&[&["export", "--write", "--client", "codex"], more].concat());
    write(&[]).good();
    let entry = "\n[mcp_servers.puerto]\nurl = \"http://127.0.0.1:8080/mcp\"\n";
    assert_eq!(place.read(file), format!("{before}{entry}"));
    assert!(write(&[]).good().contains("nothing was written"));
    write(&["--tenant", "team"]).good();
    assert_eq!(place.read(file), format!("{before}{}", entry.replace("/mcp", "/mcp/team")));
    write(&["--stdio"]).good();
    assert!(place.read(file).contains("\nargs = [\"stdio\", \"--config\", "), "{}", place.read(file));
    place.write(file, "mcp_servers = { puerto = { url = \"x\" } }\n");
    assert!(write(&[]).bad().contains("cannot be changed safely"));
    assert_eq!(place.read(file), "mcp_servers = { puerto = { url = \"x\" } }\n");
}

#[test]
fn the_doctor_finds_nothing_where_nothing_is_wrong() {
    let place = Place::new();
    place.write(
        "it.json",
        r#"{ "tenants": { "default": { "servers": { "m": { "builtin": "monitor" }, "sh": { "command": "sh" } } } }, "gateway": { "port": 0 } }"#,
    );
    let said = place.run(&["doctor", "--config", "it.json"]);
    let text = said.good().replace("/usr/bin/sh", "/bin/sh");
    expect![[r#"
        ok         configuration: it.json, 2 servers
        ok         server default:sh: /bin/sh starts it
        ok         store: data/puerto.db will be made at the first start
        ok         gateway.port: 0: a free port at every start

        nothing keeps the hub from working
    "#]]
    .assert_eq(&text);
    let said = place.run(&["doctor", "--config", "it.json", "--json"]);
    let found: Value = serde_json::from_str(said.good()).unwrap();
    assert_eq!((&found["ok"], &found["findings"][0]["level"]), (&json!(true), &json!("ok")));
}

#[test]
fn the_doctor_says_what_to_do() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    place.write("file", "");
    place.write("program", "");
    place.write(
        "it.json",
        &json!({
            "tenants": { "default": { "servers": {
                "a": { "command": "npx", "args": ["-y", "x"], "env": { "PATH": "/nowhere" } },
                "b": { "command": "uvx", "env": { "PATH": "/nowhere", "KEY": "${KEY_OF_B}" } },
                "c": { "command": "./program" },
                "d": { "command": "sh", "cwd": "nowhere" },
                "e": { "command": "unknown-program", "env": { "PATH": "/nowhere" } },
                "f": { "command": "not-looked-at", "enabled": false },
                "g": { "builtin": "file", "options": { "roots": ["home", "gone"] } },
            } } },
            "gateway": { "port": port }, "store": { "url": "sqlite://file/puerto.db" }
        })
        .to_string(),
    );
    let said = place.run(&["doctor", "--config", "it.json"]);
    assert_eq!(said.code, Some(1));
    let column = said.out.split("it.json:1:").nth(1).unwrap().split(':').next().unwrap();
    let text = said
        .out
        .replace(&port.to_string(), "PORT")
        .replace(&format!("it.json:1:{column}"), "it.json:1:COLUMN");
    expect![[r#"
        problem    configuration it.json:1:COLUMN: the environment variable KEY_OF_B is not set (at tenants.default.servers.b.env.KEY)
                   do: set it, or give a default: "${KEY_OF_B:-…}"
        problem    server default:a: the program npx is not in PATH
                   do: install Node.js 18 or later (https://nodejs.org), which brings node and npx
        problem    server default:b: the program uvx is not in PATH
                   do: install uv (https://docs.astral.sh/uv), which brings uvx
        problem    server default:c: ./program is no program that can be started
                   do: mend the path in "command", or make the file executable
        problem    server default:d: its directory nowhere does not exist
                   do: make it, or change "cwd"
        problem    server default:e: the program unknown-program is not in PATH
                   do: install it, or write its whole path in "command"
        problem    server default:g: its directory gone does not exist
                   do: make it, or change "roots"; relative paths start here
        problem    store: file/puerto.db cannot be made in DIR/file: Not a directory (os error 20)
                   do: make it writable for you, or set store.url
        problem    port PORT: another program listens there, and it is no hub
                   do: end that program, or set gateway.port to another port (0 takes a free one)

        9 problems
    "#]].assert_eq(&text);
    place.write(
        "bad.json",
        "{ \"tenants\": { \"default\": { \"servers\": { \"a\": { \"comand\": \"x\" } } } } }",
    );
    expect![[r#"
        problem    configuration bad.json:1:49: unknown key "comand" in a server (at tenants.default.servers.a.comand)
                   do: did you mean "command"?
        warning    the rest: was not looked at
                   do: mend the configuration first, then run this again

        1 problem
    "#]].assert_eq(&place.run(&["doctor", "--config", "bad.json"]).out);
}

#[test]
fn the_doctor_asks_the_hub_that_runs() {
    let servers = json!({ "m": { "builtin": "monitor" }, "gone": { "command": "./no-such-program" } });
    let config =
        json!({ "tenants": { "default": { "servers": servers } }, "orchestrator": { "max_retries": 0 } });
    let hub = Hub::start(PUERTO, &config);
    hub.wait_for("default:gone", "failed");
    let place = Place::new();
    let port = hub.address.rsplit(':').next().unwrap();
    let own = json!({ "tenants": { "default": { "servers": { "m": { "builtin": "monitor" } } } }, "gateway": { "port": port.parse::<u16>().unwrap() } });
    place.write("it.json", &own.to_string());
    let said = place.run(&["doctor", "--config", "it.json"]);
    assert_eq!(said.code, Some(1));
    assert!(
        said.out.contains(&format!("port {port}: a hub runs at http://127.0.0.1:{port}")),
        "{}",
        said.out
    );
    assert!(said.out.contains("running server default:gone: is down (failed)"), "{}", said.out);
    assert!(
        said.out.contains(&format!("puerto logs gone --tenant default --url http://127.0.0.1:{port}")),
        "{}",
        said.out
    );
}
