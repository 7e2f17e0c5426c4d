//! What a manifest says, asks for, and may get wrong.

use expect_test::{Expect, expect};

use super::{Place, SERVER, manifest, part};

/// A server with settings of every kind.
const WEATHER: &str = r#""server": {
    "type": "python",
    "entry_point": "server/main.py",
    "mcp_config": {
      "command": "python",
      "args": ["server/main.py", "--days", "${user_config.days}", "--proxy", "${user_config.proxy}",
        "--log=${user_config.log}", "--open", "${user_config.folders}", "${HOME}${/}x", "${PWD}", "$${x"],
      "env": {
        "PYTHONPATH": "${__dirname}/server/lib",
        "WEATHER_KEY": "${user_config.api_key}",
        "FOLDERS": "${user_config.folders}",
        "VERBOSE": "${user_config.verbose}",
        "PROXY_PASSWORD": "${user_config.proxy_password}"
      }
    }
  },
  "compatibility": { "runtimes": { "python": ">=3.11" } },
  "user_config": {
    "api_key": { "type": "string", "title": "Key", "description": "Key of the service", "sensitive": true, "required": true },
    "proxy_password": { "type": "string", "title": "Password of the proxy", "description": "", "sensitive": true },
    "folders": { "type": "directory", "title": "Folders", "description": "Where maps lie", "multiple": true, "required": true },
    "days": { "type": "number", "title": "Days", "description": "Days ahead", "required": true, "default": 3, "min": 1, "max": 14 },
    "proxy": { "type": "string", "title": "Proxy", "description": "" },
    "log": { "type": "file", "title": "Log", "description": "" },
    "verbose": { "type": "boolean", "title": "Verbose", "description": "", "default": false }
  }"#;

/// What a dry run says of a manifest, with these arguments.
fn dry(more: &str, args: &[&str], expected: &Expect) {
    let place = Place::new();
    std::fs::create_dir(place.dir.join("home/Documents")).unwrap();
    place.weather("it.mcpb", more);
    let said = place.import(&[&["it.mcpb", "--dry-run"], args].concat());
    assert!(!place.has("config"), "a dry run writes nothing");
    expected.assert_eq(&format!("{}{}", said.out, said.err));
}

#[test]
fn a_bundle_asks_for_what_it_needs() {
    dry(
        WEATHER,
        &[],
        &expect![[r#"
        error: this server asks for folders (Where maps lie)
          --> it.mcpb: manifest.json:27:5
           |
        27 |     "folders": { "type": "directory", "title": "Folders", "description": "Where maps lie", "multiple": true, "required":…
           |     ^^^^^^^^^
           = at user_config.folders
           = help: give it with --set folders=…
    "#]],
    );
    dry(
        WEATHER,
        &["--set", "folders=home", "--set", "folders=~/Documents"],
        &expect![[r#"
            it.mcpb (bundle)
              weather         python server/main.py --days 3 --open DIR/home DIR/home/Documents ${HOME}/x $${PWD} $$${x
                              in DIR/config/bundles/weather-1.2.0
                              env PYTHONPATH=DIR/config/bundles/weather-1.2.0/server/lib
                              env WEATHER_KEY=${WEATHER_API_KEY}
                              env FOLDERS=DIR/home,DIR/home/Documents
                              env VERBOSE=false
                              note: its files go to config/bundles/weather-1.2.0 (3 files, 2 kB)
                              note: left out: --proxy ${user_config.proxy}; --set proxy=… gives it a value
                              note: left out: --log=${user_config.log}; --set log=… gives it a value
                              note: ${PWD} means nothing to Puerto and stays as plain text
                              note: the values of folders are joined by commas
                              note: left out: env PROXY_PASSWORD; --set 'proxy_password=${WEATHER_PROXY_PASSWORD}' gives it a value
                              note: needs python >=3.11
                              note: copied as it stands: PYTHONPATH, FOLDERS, VERBOSE

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              WEATHER_API_KEY           Key of the service
        "#]],
    );
    let all = ["folders=${MAPS}", "days=14", "proxy=none", "log=it.mcpb", "verbose=true", "api_key=${MINE}"];
    let all: Vec<_> = all.iter().flat_map(|set| ["--set", set]).collect();
    dry(
        WEATHER,
        &all,
        &expect![[r#"
            it.mcpb (bundle)
              weather         python server/main.py --days 14 --proxy none --log=DIR/it.mcpb --open ${MAPS} ${HOME}/x $${PWD} $$${x
                              in DIR/config/bundles/weather-1.2.0
                              env PYTHONPATH=DIR/config/bundles/weather-1.2.0/server/lib
                              env WEATHER_KEY=${MINE}
                              env FOLDERS=${MAPS}
                              env VERBOSE=true
                              note: its files go to config/bundles/weather-1.2.0 (3 files, 2 kB)
                              note: ${PWD} means nothing to Puerto and stays as plain text
                              note: left out: env PROXY_PASSWORD; --set 'proxy_password=${WEATHER_PROXY_PASSWORD}' gives it a value
                              note: needs python >=3.11
                              note: copied as it stands: PYTHONPATH, VERBOSE

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
            set these variables before Puerto starts:
              MAPS
              MINE
        "#]],
    );
}

#[test]
fn a_value_must_be_one_that_the_setting_allows() {
    let mut said = String::new();
    for set in ["days=15", "days=many", "verbose=yes", "log=home", "folders=nowhere", "day=3"] {
        let place = Place::new();
        place.weather("it.mcpb", WEATHER);
        let done = place.import(&["it.mcpb", "--yes", "--set", "folders=home", "--set", set]);
        said += &format!("{}\n", done.bad().lines().next().unwrap());
        assert!(!place.has("config"));
    }
    expect![[r#"
        error: days cannot be "15": it is a number from 1 to 14
        error: days cannot be "many": it is a number from 1 to 14
        error: verbose cannot be "yes": it is true or false
        error: log cannot be "home": there is no such file
        error: folders cannot be "nowhere": there is no such directory
        error: no file asks for "day"
    "#]]
    .assert_eq(&said);
    let secret = ["--set", "folders=home", "--set", "api_key=s3cret"];
    dry(
        WEATHER,
        &secret,
        &expect![[r#"
        error: "api_key" is a secret, and those are not written down
          --> it.mcpb: manifest.json:25:5
           |
        25 |     "api_key": { "type": "string", "title": "Key", "description": "Key of the service", "sensitive": true, "required": t…
           |     ^^^^^^^^^
           = at user_config.api_key
           = help: leave it out and set WEATHER_API_KEY where Puerto starts, or name another variable: --set 'api_key=${WEATHER_API_KEY}'
    "#]],
    );
    let wrong = WEATHER.replace("\"default\": 3", "\"default\": 30");
    dry(
        &wrong,
        &secret[..2],
        &expect![[r#"
        error: days cannot be "30": it is a number from 1 to 14
          --> it.mcpb: manifest.json:28:5
           |
        28 |     "days": { "type": "number", "title": "Days", "description": "Days ahead", "required": true, "default": 30, "min": 1,…
           |     ^^^^^^
           = at user_config.days
           = help: give another value with --set days=…
    "#]],
    );
}

#[test]
fn a_bundle_says_how_it_is_started_here() {
    let overridden = r#""server": {
    "type": "binary",
    "entry_point": "bin/weather",
    "mcp_config": {
      "command": "bin/weather.exe",
      "args": ["--all"],
      "env": { "A": "1", "B": "1" },
      "platform_overrides": {
        "linux": { "command": "./bin/weather", "args": [], "env": { "B": "2" } },
        "darwin": { "command": "./bin/weather", "args": [], "env": { "B": "2" } }
      }
    }
  }"#;
    dry(
        overridden,
        &[],
        &expect![[r#"
            it.mcpb (bundle)
              weather         DIR/config/bundles/weather-1.2.0/bin/weather
                              in DIR/config/bundles/weather-1.2.0
                              env A=1
                              env B=2
                              note: its files go to config/bundles/weather-1.2.0 (3 files, 566 bytes)
                              note: copied as it stands: A, B

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
        "#]],
    );
    let uv = r#""server": { "type": "uv", "entry_point": "server/index.js" }"#;
    dry(
        uv,
        &[],
        &expect![[r#"
            it.mcpb (bundle)
              weather         uv run --directory DIR/config/bundles/weather-1.2.0 server/index.js
                              note: its files go to config/bundles/weather-1.2.0 (3 files, 229 bytes)

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
        "#]],
    );
    let usual = r#""server": {
    "type": "node",
    "entry_point": "x",
    "mcp_config": { "command": "npx", "args": ["${user_config.documents}", "${user_config.units}"], "env": { "D": "${DOWNLOADS}" } }
  },
  "user_config": {
    "documents": { "type": "directory", "title": "", "description": "", "required": true, "default": "${DOCUMENTS}" },
    "units": { "type": "string", "title": "", "description": "", "default": "" }
  }"#;
    dry(
        usual,
        &[],
        &expect![[r#"
            it.mcpb (bundle)
              weather         npx ${HOME}/Documents ''
                              in DIR/config/bundles/weather-1.2.0
                              env D=${HOME}/Downloads
                              note: its files go to config/bundles/weather-1.2.0 (3 files, 585 bytes)

            would add 1 server to the tenant default of config/servers.json; nothing was written (--dry-run)
        "#]],
    );
    let elsewhere = format!("{SERVER},\n  \"compatibility\": {{ \"platforms\": [\"win32\"] }}");
    dry(
        &elsewhere,
        &[],
        &expect![[r#"
        error: this bundle does not run on Linux
          --> it.mcpb: manifest.json:12:35
           |
        12 |   "compatibility": { "platforms": ["win32"] }
           |                                   ^^^^^^^^^
           = at compatibility.platforms
           = help: it is for Windows
    "#]],
    );
}

/// What is said of each manifest.
fn refused(manifests: &[String]) -> String {
    let place = Place::new();
    let one = |text: &String| {
        place.bundle("a.mcpb", &[part("manifest.json", text), part("server/index.js", "")]);
        place.import(&["a.mcpb", "--yes"]).bad().to_owned()
    };
    let all: Vec<_> = manifests.iter().map(one).collect();
    assert!(!place.has("config"));
    all.join("\n")
}

#[test]
fn wrong_manifests_are_told_with_their_place() {
    let all = [
        "[]",
        "{ \"manifest_version\": \"0.3\" \"name\": \"x\" }",
        "{ \"name\": \"x\" }",
        "{ \"manifest_version\": \"2.0\", \"name\": \"x\" }",
        "{ \"dxt_version\": \"0.1\", \"name\": \" \" }",
        "{ \"manifest_version\": \"0.3\", \"name\": \"x\", \"version\": \"1\", \"sever\": {} }",
    ];
    expect![[r#"
        error: this should be an object
         --> a.mcpb: manifest.json:1:1
          |
        1 | []
          | ^

        error: a comma is missing here
         --> a.mcpb: manifest.json:1:28
          |
        1 | { "manifest_version": "0.3" "name": "x" }
          |                            ^
          = help: put "," between two entries

        error: the manifest of a bundle needs "manifest_version" here
         --> a.mcpb: manifest.json:1:1
          |
        1 | { "name": "x" }
          | ^
          = help: as in "manifest_version": "0.3"

        error: Puerto does not read this version of the manifest: found "2.0", expected "0.1", "0.2", "0.3" or "0.4"
         --> a.mcpb: manifest.json:1:23
          |
        1 | { "manifest_version": "2.0", "name": "x" }
          |                       ^^^^^
          = at manifest_version

        error: this should be a text
         --> a.mcpb: manifest.json:1:33
          |
        1 | { "dxt_version": "0.1", "name": " " }
          |                                 ^^^
          = at name

        error: the manifest of a bundle needs "server" here
         --> a.mcpb: manifest.json:1:59
          |
        1 | { "manifest_version": "0.3", "name": "x", "version": "1", "sever": {} }
          |                                                           ^^^^^^^
          = at sever
          = help: did you mean "server"?
    "#]].assert_eq(&refused(&all.map(String::from)));
}

#[test]
fn wrong_servers_are_told_with_their_place() {
    let all = [
        r#""server": { "type": "java" }"#,
        r#""server": { "type": "node", "entry_point": "x" }"#,
        r#""server": { "type": "uv", "entry_point": "main.py" }"#,
        r#""server": { "type": "node", "mcp_config": { "comand": "node" } }"#,
        r#""server": { "type": "node", "mcp_config": { "command": "node", "args": "x" } }"#,
        r#""server": { "type": "node", "mcp_config": { "command": "node", "env": { "A": [] } } }"#,
        r#""server": { "type": "node", "mcp_config": { "command": "${user_config.x}", "args": [] } },
  "user_config": { "x": { "type": "string" } }"#,
        r#""server": { "type": "node", "mcp_config": { "command": "node", "args": ["${user_config.folder}"] } },
  "user_config": { "folders": { "type": "string" } }"#,
        r#""server": { "type": "node", "mcp_config": { "command": "node" } },
  "user_config": { "x": { "type": "folder" } }"#,
        r#""server": { "type": "node", "mcp_config": { "command": "node" } },
  "user_config": { "x": {} }"#,
    ];
    expect![[r#"
        error: this kind of server is not known: found "java", expected "node", "python", "binary" or "uv"
         --> a.mcpb: manifest.json:7:23
          |
        7 |   "server": { "type": "java" }
          |                       ^^^^^^
          = at server.type

        error: the manifest of a bundle needs "mcp_config" here
         --> a.mcpb: manifest.json:7:13
          |
        7 |   "server": { "type": "node", "entry_point": "x" }
          |             ^
          = at server
          = help: as in "mcp_config": { "command": "node", "args": ["${__dirname}/server/index.js"] }

        error: the bundle does not hold this file
         --> a.mcpb: manifest.json:7:44
          |
        7 |   "server": { "type": "uv", "entry_point": "main.py" }
          |                                            ^^^^^^^^^
          = at server.entry_point

        error: the manifest of a bundle needs "command" here
         --> a.mcpb: manifest.json:7:47
          |
        7 |   "server": { "type": "node", "mcp_config": { "comand": "node" } }
          |                                               ^^^^^^^^
          = at server.mcp_config.comand
          = help: did you mean "command"?

        error: this should be a list of texts
         --> a.mcpb: manifest.json:7:74
          |
        7 |   "server": { "type": "node", "mcp_config": { "command": "node", "args": "x" } }
          |                                                                          ^^^
          = at server.mcp_config.args

        error: this should be a text
         --> a.mcpb: manifest.json:7:80
          |
        7 |   "server": { "type": "node", "mcp_config": { "command": "node", "env": { "A": [] } } }
          |                                                                                ^
          = at server.mcp_config.env.A

        error: this command needs a value that nobody gave
         --> a.mcpb: manifest.json:7:58
          |
        7 |   "server": { "type": "node", "mcp_config": { "command": "${user_config.x}", "args": [] } },
          |                                                          ^^^^^^^^^^^^^^^^^^
          = at server.mcp_config.command
          = help: --set x=… gives it

        error: "user_config" has no "folder", which stands here
         --> a.mcpb: manifest.json:7:75
          |
        7 |   "server": { "type": "node", "mcp_config": { "command": "node", "args": ["${user_config.folder}"] } },
          |                                                                           ^^^^^^^^^^^^^^^^^^^^^^^
          = at server.mcp_config.args[0]
          = help: did you mean "${user_config.folders}"?

        error: this kind of value is not known: found "folder", expected "string", "number", "boolean", "directory" or "file"
         --> a.mcpb: manifest.json:8:35
          |
        8 |   "user_config": { "x": { "type": "folder" } }
          |                                   ^^^^^^^^
          = at user_config.x.type

        error: a setting needs a "type"
         --> a.mcpb: manifest.json:8:25
          |
        8 |   "user_config": { "x": {} }
          |                         ^
          = at user_config.x
          = help: one of string, number, boolean, directory, file
    "#]].assert_eq(&refused(&all.map(manifest)));
}
