//! `puerto import`: a sample file of every kind, what is told about it, and what is written.

use expect_test::{Expect, expect};

use super::Place;

fn dry(file: &str, more: &[&str], expected: &Expect) {
    let place = Place::with_samples();
    let file = format!("samples/{file}");
    let said = place.run(&[&["import", &file, "--dry-run"], more].concat());
    assert!(!place.has("config/servers.json"));
    expected.assert_eq(&format!("{}{}", said.out, said.err));
}

#[test]
fn claude_desktop_is_read() {
    dry(
        "claude_desktop_config.json",
        &[],
        &expect![[r#"
        samples/claude_desktop_config.json (mcpServers)
          filesystem      npx -y @modelcontextprotocol/server-filesystem /srv/notes
          GitHub-mine     docker run -i --rm -e GITHUB_PERSONAL_ACCESS_TOKEN ghcr.io/github/github-mcp-server
                          env GITHUB_PERSONAL_ACCESS_TOKEN=(not shown)
                          env LOG=quiet
                          not enabled
                          note: named GitHub-mine: Puerto's names hold letters, digits, "-" and "_"
                          note: copied as it stands: LOG
                          note: copied as it stands, though it looks like a secret: GITHUB_PERSONAL_ACCESS_TOKEN; better write "${NAME}" in its place and set the variable
          puerto          /opt/puerto/bin/puerto stdio
                          note: left out: this is Puerto itself

        would add 2 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
    "#]],
    );
}

#[test]
fn claude_code_is_read_with_its_projects() {
    dry(
        "claude.json",
        &[],
        &expect![[r#"
            samples/claude.json (mcpServers)
              docs            https://docs.example.com/mcp (http)
                              header Authorization='Bearer ${DOCS_TOKEN}'
              docs-2          https://old.example.com/sse (sse)
                              note: from the project /srv/app
                              note: named docs-2: another server is named docs
              build           ./tools/mcp.sh --level ${LEVEL:-info}
                              in /srv/app
                              note: from the project /srv/app

            would add 3 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              DOCS_TOKEN
        "#]],
    );
    dry(
        "mcp.json",
        &[],
        &expect![[r#"
            samples/mcp.json (mcpServers)
              search          https://search.example.com/mcp (http)
                              header X-Api-Key=${SEARCH_KEY}
                              note: header Content-Type left out: Puerto writes it itself
              feed            wss://feed.example.com/mcp
              plain           https://plain.example.com/mcp
                              note: not taken over: timeout; Puerto's own is "call_timeout", in seconds

            would add 3 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              SEARCH_KEY
        "#]],
    );
}

#[test]
fn cursor_is_read_with_its_env_file() {
    dry(
        "cursor/.cursor/mcp.json",
        &[],
        &expect![[r#"
            samples/cursor/.cursor/mcp.json (mcpServers)
              postgres        uvx postgres-mcp --root DIR/samples/cursor/sql
                              env DATABASE_URI=${DATABASE_URI}
                              env PGSSLMODE=require
                              env PGPASSWORD=${PGPASSWORD}
                              note: ${workspaceFolder} is DIR/samples/cursor
                              note: variables of DIR/samples/cursor/database.env were taken over; secrets among them as references
                              note: copied as it stands: PGSSLMODE
              remote          https://tools.example.com/mcp (http)

            would add 2 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              DATABASE_URI
              PGPASSWORD                stands in DIR/samples/cursor/database.env
        "#]],
    );
}

#[test]
fn vs_code_is_read_with_its_inputs() {
    dry(
        "vscode/.vscode/mcp.json",
        &[],
        &expect![[r#"
            samples/vscode/.vscode/mcp.json (VS Code)
              perplexity      npx -y server-perplexity-ask
                              env PERPLEXITY_API_KEY=${PERPLEXITY_KEY}
                              env REGION=${REGION:-eu}
                              note: ${input:perplexity-key} became the variable PERPLEXITY_KEY
                              note: ${input:region} became the variable REGION
              local           node ./server.js $${command:pickFile}
                              in DIR/samples/vscode
                              note: ${command:pickFile} means nothing to Puerto and stays as plain text
                              note: ${workspaceFolder} is DIR/samples/vscode
              cloud           https://mcp.example.com (http)
                              header Authorization='Bearer ${PERPLEXITY_KEY}'
                              note: ${input:perplexity-key} became the variable PERPLEXITY_KEY

            would add 3 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              PERPLEXITY_KEY            Perplexity API Key (a secret)
        "#]],
    );
}

#[test]
fn windsurf_is_read() {
    dry(
        "mcp_config.json",
        &[],
        &expect![[r#"
            samples/mcp_config.json (mcpServers)
              figma           https://figma.example.com/mcp
                              header Authorization='Bearer ${FIGMA_TOKEN}'
              time            uvx mcp-server-time --local-timezone=Europe/Lisbon

            would add 2 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              FIGMA_TOKEN
        "#]],
    );
}

#[test]
fn codex_is_read() {
    dry(
        "codex/config.toml",
        &[],
        &expect![[r#"
            samples/codex/config.toml (Codex)
              zeta            npx -y zeta-mcp '$${not a variable}'
                              env MODE=fast
                              env ZETA_TOKEN=${ZETA_TOKEN}
                              note: not taken over: startup_timeout_sec
                              note: copied as it stands: MODE
              figma           https://mcp.figma.example.com/mcp
                              header X-Figma-Region=us-east-1
                              header X-Team=${FIGMA_TEAM}
                              header Authorization='Bearer ${FIGMA_OAUTH_TOKEN}'
                              not enabled
                              note: copied as it stands: X-Figma-Region

            would add 2 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              FIGMA_OAUTH_TOKEN
              FIGMA_TEAM
              ZETA_TOKEN
        "#]],
    );
}

#[test]
fn a_server_json_asks_for_what_it_needs() {
    dry(
        "server.json",
        &[],
        &expect![[r#"
        error: this server asks for city (The city to begin with)
         --> samples/server.json:3:11
          |
        3 |   "name": "io.github.example/weather",
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = help: give it with --set city=…
    "#]],
    );
    dry(
        "server.json",
        &["--set", "city=Porto", "--set", "units=imperial"],
        &expect![[r#"
            samples/server.json (server.json)
              weather         npx -y @example/weather-mcp@1.4.2 --units imperial Porto --verbose
                              env WEATHER_API_KEY=${WEATHER_API_KEY}
                              env CACHE=on
                              note: it has a remote address too: --remote takes that one
                              note: not needed and left out: PROXY_PASSWORD
                              note: copied as it stands: CACHE

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              WEATHER_API_KEY           Key of the service
        "#]],
    );
    dry(
        "server.json",
        &["--set", "city=Porto", "--set", "units=feet"],
        &expect![[r#"
        error: units cannot be "feet"
         --> samples/server.json:3:11
          |
        3 |   "name": "io.github.example/weather",
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = help: it is one of metric, imperial
    "#]],
    );
    dry(
        "server.json",
        &["--remote", "--set", "region=us"],
        &expect![[r#"
            samples/server.json (server.json)
              weather         https://us.weather.example.com/mcp (http)
                              header Authorization='Bearer ${WEATHER_TOKEN}'

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              WEATHER_TOKEN
        "#]],
    );
    dry(
        "server-old.json",
        &["--set", "file=notes.db"],
        &expect![[r#"
        samples/server-old.json (server.json)
          notes           uvx notes-mcp@0.3.1 --file notes.db
                          env NOTES_LEVEL=info
                          note: copied as it stands: NOTES_LEVEL

        would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
    "#]],
    );
    dry(
        "server-oci.json",
        &[],
        &expect![[r#"
        samples/server-oci.json (server.json)
          scan            docker run -i --rm -e SCAN_DEPTH --network none ghcr.io/example/scan:2.0.0
                          env SCAN_DEPTH=3
                          note: copied as it stands: SCAN_DEPTH

        would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
    "#]],
    );
}

#[test]
fn what_is_imported_is_written_with_everything_else_kept() {
    let place = Place::with_samples();
    place.write(
        "config/servers.json",
        r#"// Ours.
{
  "tenants": {
    "default": {
      "servers": {
        "monitor": { "builtin": "monitor" }, // this machine
        "time": { "args": ["mcp-server-time", "--local-timezone=Europe/Lisbon"], "command": "uvx" },
        "figma": { "url": "https://other.example.com/mcp" },
      },
    },
  },
  "gateway": { "port": 9000 }, /* not the usual one */
}
"#,
    );
    let before = place.read("config/servers.json");
    let refused = place.run(&["import", "samples/mcp_config.json"]);
    expect![[r#"
        error: nobody can be asked, so nothing was written
          = help: look at what is shown above, then add --yes; or --dry-run to look only
    "#]]
    .assert_eq(refused.bad());
    assert_eq!(place.read("config/servers.json"), before);
    let said = place.run(&["import", "samples/mcp_config.json", "--yes"]);
    expect![[r#"
        samples/mcp_config.json (mcpServers)
          figma-2         https://figma.example.com/mcp
                          header Authorization='Bearer ${FIGMA_TOKEN}'
                          note: named figma-2: another server is named figma
          time            uvx mcp-server-time --local-timezone=Europe/Lisbon
                          note: left out: time is the same

        added 1 server to the tenant default of config/servers.json; as it was: config/servers.json.bak-1
        set these variables before Puerto starts:
          FIGMA_TOKEN
    "#]]
    .assert_eq(said.good());
    expect![[r#"
        // Ours.
        {
          "tenants": {
            "default": {
              "servers": {
                "monitor": { "builtin": "monitor" }, // this machine
                "time": { "args": ["mcp-server-time", "--local-timezone=Europe/Lisbon"], "command": "uvx" },
                "figma": { "url": "https://other.example.com/mcp" },
                "figma-2": {
                  "url": "https://figma.example.com/mcp",
                  "headers": { "Authorization": "Bearer ${FIGMA_TOKEN}" }
                },
              },
            },
          },
          "gateway": { "port": 9000 }, /* not the usual one */
        }
    "#]]
    .assert_eq(&place.read("config/servers.json"));
    assert_eq!(place.read("config/servers.json.bak-1"), before);
    place.run_in(&["check"], &[("FIGMA_TOKEN", "x")]).good();
    let again = place.run(&["import", "samples/mcp_config.json", "--yes"]);
    expect![[r#"
        samples/mcp_config.json (mcpServers)
          figma           https://figma.example.com/mcp
                          header Authorization='Bearer ${FIGMA_TOKEN}'
                          note: left out: figma-2 is the same
          time            uvx mcp-server-time --local-timezone=Europe/Lisbon
                          note: left out: time is the same

        nothing to add to config/servers.json
    "#]]
    .assert_eq(again.good());
    place.run(&["import", "samples/codex/config.toml", "--tenant", "team", "--yes"]).good();
    let env = [("FIGMA_TOKEN", "x"), ("FIGMA_OAUTH_TOKEN", "x"), ("FIGMA_TEAM", "x"), ("ZETA_TOKEN", "x")];
    let checked = place.run_in(&["check"], &env);
    assert_eq!(checked.good(), "config/servers.json: ok (2 tenants, 6 servers)\n");
    assert!(place.has("config/servers.json.bak-2"));
}

#[test]
fn clients_are_found_in_the_home_directory() {
    let place = Place::with_samples();
    let copy = |from: &str, to: &str| place.write(to, &place.read(&format!("samples/{from}")));
    for (client, sample, file) in [
        ("claude-desktop", "claude_desktop_config.json", settings("Claude/claude_desktop_config.json")),
        ("claude-code", "claude.json", "home/.claude.json".into()),
        ("cursor", "cursor/.cursor/mcp.json", "home/.cursor/mcp.json".into()),
        ("vscode", "vscode/.vscode/mcp.json", settings("Code/User/mcp.json")),
        ("windsurf", "mcp_config.json", "home/.codeium/windsurf/mcp_config.json".into()),
        ("codex", "codex/config.toml", "home/.codex/config.toml".into()),
    ] {
        let missing = place.run(&["import", "--from", client, "--dry-run"]);
        assert!(missing.bad().contains("has no file here"), "{missing:?}");
        copy(sample, &file);
        let said = place.run(&["import", "--from", client, "--dry-run"]);
        assert!(said.good().contains("would add"), "{client}: {said:?}");
        assert!(said.out.starts_with("~/"), "{said:?}");
    }
    copy("mcp.json", ".mcp.json");
    let said = place.run(&["import", "--from", "claude-code", "--dry-run"]);
    assert!(
        said.good().contains("~/.claude.json (Claude Code)")
            && said.out.contains("\n.mcp.json (Claude Code)")
    );
}

fn settings(file: &str) -> String {
    let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".config" };
    format!("home/{below}/{file}")
}

#[test]
fn wrong_files_are_told_with_their_place() {
    let place = Place::new();
    let said = |name: &str, text: &str| {
        place.write(name, text);
        place.run(&["import", name, "--yes"]).bad().to_owned()
    };
    let all = [
        said("a.json", "{ \"mcpServers\": { \"x\": { \"command\": \"a\" \"args\": [] } } }"),
        said(
            "b.json",
            "{\n  \"mcpServers\": {\n    \"x\": { \"command\": \"a\", \"args\": [\"b\", {}] }\n  }\n}",
        ),
        said("c.json", "{ \"servers\": { \"x\": { \"type\": \"grpc\", \"url\": \"https://a\" } } }"),
        said("d.json", "{ \"mcpServers\": { \"x\": { \"args\": [] } } }"),
        said("e.json", "{ \"tenants\": {} }"),
        said("f.json", "{ \"something\": 1 }"),
        said("g.toml", "[mcp_servers.x]\ncommand = [1]\n"),
        said("h.toml", "[mcp_servers.x\n"),
        said(
            "i.json",
            "{ \"name\": \"a/b\", \"packages\": [{ \"registryType\": \"nuget\", \"identifier\": \"x\" }] }",
        ),
        said("j.mcpb", "PK\u{3}\u{4}"),
        place.run(&["import", "none.json"]).bad().to_owned(),
    ];
    expect![[r#"
        error: a comma is missing here
         --> a.json:1:40
          |
        1 | { "mcpServers": { "x": { "command": "a" "args": [] } } }
          |                                        ^
          = help: put "," between two entries

        error: this should be a text
         --> b.json:3:42
          |
        3 |     "x": { "command": "a", "args": ["b", {}] }
          |                                          ^^
          = at mcpServers.x.args[1]

        error: this transport is not known: found "grpc", expected "stdio", "http", "sse" or "ws"
         --> c.json:1:31
          |
        1 | { "servers": { "x": { "type": "grpc", "url": "https://a" } } }
          |                               ^^^^^^
          = at servers.x.type

        error: nothing says how to reach this server
         --> d.json:1:19
          |
        1 | { "mcpServers": { "x": { "args": [] } } }
          |                   ^^^
          = at mcpServers.x
          = help: it needs a "command" or a "url"

        error: this is a configuration of Puerto
         --> e.json:1:1
          |
        1 | { "tenants": {} }
          | ^
          = help: use it with --config FILE

        error: nothing in this file lists MCP servers
         --> f.json:1:1
          |
        1 | { "something": 1 }
          | ^
          = help: expected "mcpServers" (Claude, Cursor, Windsurf), "servers" (VS Code), a registry's server.json, Codex's config.toml, or a bundle (.mcpb)

        error: this should be a text
         --> g.toml:2:11
          |
        2 | command = [1]
          |           ^^^
          = at mcp_servers.x.command

        error: this is not TOML: unclosed table, expected `]`
         --> h.toml:1:15
          |
        1 | [mcp_servers.x
          |               ^

        error: Puerto cannot start a package of this kind: nuget
         --> i.json:1:31
          |
        1 | { "name": "a/b", "packages": [{ "registryType": "nuget", "identifier": "x" }] }
          |                               ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = at packages
          = help: npm, pypi and oci packages that speak on standard input and output can be taken over, and remote addresses

        error: this is no whole bundle: invalid Zip archive: Could not find EOCD
         --> j.mcpb
          = help: a bundle is a zip: was it downloaded to its end?

        error: there is no such file
         --> none.json
    "#]].assert_eq(&all.join("\n"));
    assert!(!place.has("config/servers.json"));
}

#[test]
fn what_puerto_would_refuse_is_left_out_with_its_reason() {
    let place = Place::new();
    place.write(
        "it.json",
        r#"{ "mcpServers": { "a": { "url": "https://me:pass@example.com/mcp" }, "b": { "command": "b\u001b[2J" }, "c": { "url": "http://localhost:8080/mcp" } } }"#,
    );
    let said = place.run(&["import", "it.json", "--dry-run"]);
    expect![[r#"
        it.json (mcpServers)
          a               https://me:pass@example.com/mcp
                          note: left out: an address holds no user and no password; write them as a header: "headers": { "Authorization": "Basic ${TOKEN}" }
          b               'b\u{1b}[2J'
          c               http://localhost:8080/mcp
                          note: left out: this is Puerto itself

        would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
    "#]].assert_eq(said.good());
}

#[test]
fn a_value_that_nothing_asks_for_is_a_mistake() {
    let place = Place::with_samples();
    let said =
        place.run(&["import", "samples/server.json", "--set", "city=Porto", "--set", "unit=metric", "--yes"]);
    assert!(said.bad().contains("no file asks for \"unit\""), "{said:?}");
    assert!(!place.has("config/servers.json"));
}

#[test]
fn the_settings_of_vs_code_and_several_files_are_read() {
    let place = Place::with_samples();
    let settings = r#"{ "editor.fontSize": 12, "mcp": { "inputs": [], "servers": { "a": { "command": "a", "env": { "PORT": 80, "NONE": null } } } } }"#;
    place.write("settings.json", settings);
    place.write("empty.json", r#"{ "mcpServers": {} }"#);
    let said = place.run(&["import", "settings.json", "empty.json", "samples/mcp_config.json", "--dry-run"]);
    expect![[r#"
        settings.json (VS Code)
          a               a
                          env PORT=80
                          note: copied as it stands: PORT

        empty.json (mcpServers)
          no servers in it

        samples/mcp_config.json (mcpServers)
          figma           https://figma.example.com/mcp
                          header Authorization='Bearer ${FIGMA_TOKEN}'
          time            uvx mcp-server-time --local-timezone=Europe/Lisbon

        would add 3 servers to the tenant default of config/servers.json; nothing was written (--dry-run)
        set these variables before Puerto starts:
          FIGMA_TOKEN
    "#]]
    .assert_eq(said.good());
}
