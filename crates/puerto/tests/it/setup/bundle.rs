//! `puerto import` of bundles (`.mcpb`): what is shown, asked for, unpacked and written; hostile ones; and one
//! that the format's own packer has made of a real server, used to the end.

mod hostile;
mod manifest;

use std::path::Path;

use expect_test::expect;
use puerto_testkit::peers::client;
use puerto_testkit::{Hub, root};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Place, Said};
use crate::PUERTO;

/// A file in a zip, as somebody may write it who means harm.
#[derive(Clone)]
struct Part {
    name: &'static str,
    data: Vec<u8>,
    mode: u32,
    /// The size that the directory tells.
    size: Option<u32>,
    is_damaged: bool,
    flags: u16,
    method: u16,
}

fn part(name: &'static str, text: &str) -> Part {
    let data = text.as_bytes().to_vec();
    Part { name, data, mode: 0o100_644, size: None, is_damaged: false, flags: 0x800, method: 0 }
}

/// A zip of these files, in this order, without compression.
fn zip(parts: &[Part]) -> Vec<u8> {
    let (mut files, mut directory) = (Vec::new(), Vec::new());
    for part in parts {
        let crc = if part.is_damaged { 1 } else { crc32(&part.data) };
        let length = u32::try_from(part.data.len()).unwrap();
        let mut head = Vec::new();
        for field in [20, part.flags, part.method, 0, 0x21] {
            head.extend(field.to_le_bytes());
        }
        for field in [crc, length, part.size.unwrap_or(length)] {
            head.extend(field.to_le_bytes());
        }
        head.extend(u16::try_from(part.name.len()).unwrap().to_le_bytes());
        head.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&head);
        directory.extend([0; 6]);
        directory.extend((part.mode << 16).to_le_bytes());
        directory.extend(u32::try_from(files.len()).unwrap().to_le_bytes());
        directory.extend(part.name.as_bytes());
        files.extend(b"PK\x03\x04");
        files.extend(&head);
        files.extend(part.name.as_bytes());
        files.extend(&part.data);
    }
    let count = u16::try_from(parts.len()).unwrap().to_le_bytes();
    let place = u32::try_from(files.len()).unwrap().to_le_bytes();
    let size = u32::try_from(directory.len()).unwrap().to_le_bytes();
    [&files[..], &directory, b"PK\x05\x06\0\0\0\0", &count, &count, &size, &place, &[0, 0]].concat()
}

fn crc32(data: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !data.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// A manifest with more members than the least.
fn manifest(more: &str) -> String {
    format!(
        r#"{{
  "manifest_version": "0.3",
  "name": "weather",
  "version": "1.2.0",
  "description": "Weather and tides",
  "author": {{ "name": "Example" }},
  {more}
}}"#
    )
}

const SERVER: &str = r#""server": {
    "type": "node",
    "entry_point": "server/index.js",
    "mcp_config": { "command": "node", "args": ["${__dirname}/server/index.js"] }
  }"#;

impl Place {
    fn bundle(&self, file: &str, parts: &[Part]) {
        std::fs::write(self.dir.join(file), zip(parts)).unwrap();
    }

    /// Writes a bundle of this manifest and a few files.
    fn weather(&self, file: &str, more: &str) {
        let program = Part { mode: 0o104_755, ..part("bin/weather", "#!/bin/sh\n") };
        let parts = [part("manifest.json", &manifest(more)), part("server/index.js", "// code\n"), program];
        self.bundle(file, &parts);
    }

    fn import(&self, args: &[&str]) -> Said {
        self.run(&[&["import"], args].concat())
    }
}

#[test]
fn a_bundle_is_unpacked_beside_the_configuration() {
    let place = Place::new();
    place.weather("weather.mcpb", SERVER);
    let refused = place.import(&["weather.mcpb"]);
    assert!(refused.bad().contains("nobody can be asked, so nothing was written"), "{refused:?}");
    assert!(!place.has("config"));
    expect![[r#"
        weather.mcpb (bundle)
          weather         node DIR/config/bundles/weather-1.2.0/server/index.js
                          in DIR/config/bundles/weather-1.2.0
                          note: its files go to config/bundles/weather-1.2.0 (3 files, 324 bytes)

        added 1 server to the tenant default of config/servers.json
    "#]]
    .assert_eq(place.import(&["weather.mcpb", "--yes"]).good());
    expect![[r#"
        // Puerto's configuration; every key is explained in docs/configuration.md.
        {
          "version": "1.0.0",
          "tenants": {
            "default": {
              "servers": {
                "weather": {
                  "command": "node",
                  "args": ["DIR/config/bundles/weather-1.2.0/server/index.js"],
                  "cwd": "DIR/config/bundles/weather-1.2.0",
                  "metadata": { "description": "Weather and tides" }
                }
              }
            }
          }
        }
    "#]]
    .assert_eq(&place.read("config/servers.json").replace(place.dir.to_str().unwrap(), "DIR"));
    place.run(&["check"]).good();
    assert_eq!(place.read("config/bundles/weather-1.2.0/server/index.js"), "// code\n");
    #[cfg(unix)]
    for (file, mode) in [("bin/weather", 0o755), ("server/index.js", 0o644)] {
        use std::os::unix::fs::PermissionsExt;
        let there = place.dir.join("config/bundles/weather-1.2.0").join(file).metadata().unwrap();
        assert_eq!(there.permissions().mode() & 0o7700, mode & 0o700, "{file}");
    }
    assert_eq!(std::fs::read_dir(place.dir.join("config/bundles")).unwrap().count(), 1);

    // The same once more, also where the server has put something beside its program.
    place.write("config/bundles/weather-1.2.0/cache/it", "");
    expect![[r#"
        weather.mcpb (bundle)
          weather         node DIR/config/bundles/weather-1.2.0/server/index.js
                          in DIR/config/bundles/weather-1.2.0
                          note: left out: weather is the same

        nothing to add to config/servers.json
    "#]]
    .assert_eq(place.import(&["weather.mcpb", "--yes"]).good());
    // The directory is gone: it comes back, and the configuration stays.
    std::fs::remove_dir_all(place.dir.join("config/bundles")).unwrap();
    expect![[r#"
        weather.mcpb (bundle)
          weather         node DIR/config/bundles/weather-1.2.0/server/index.js
                          in DIR/config/bundles/weather-1.2.0
                          note: left out: weather is the same

        added the files of 1 bundle, which were missing
    "#]]
    .assert_eq(place.import(&["weather.mcpb", "--yes"]).good());
    assert!(
        place.has("config/bundles/weather-1.2.0/manifest.json") && !place.has("config/servers.json.bak-1")
    );
    // Other files of the same name and version change nothing that may be running.
    let before = place.read("config/servers.json");
    place.bundle(
        "other.mcpb",
        &[part("manifest.json", &manifest(SERVER)), part("server/index.js", "// other\n")],
    );
    expect![[r#"
        error: config/bundles/weather-1.2.0 holds other files than this bundle
         --> other.mcpb
          = help: a server may be running there: remove it once none does, then import again
    "#]]
    .assert_eq(place.import(&["other.mcpb", "--yes"]).bad());
    assert_eq!(place.read("config/bundles/weather-1.2.0/server/index.js"), "// code\n");
    assert_eq!(place.read("config/servers.json"), before);
    // Another version lies beside it.
    let newer = manifest(SERVER).replace("1.2.0", "1.3.0");
    place.bundle("newer.dxt", &[part("manifest.json", &newer), part("server/index.js", "// newer\n")]);
    expect![[r#"
        newer.dxt (bundle)
          weather-2       node DIR/config/bundles/weather-1.3.0/server/index.js
                          in DIR/config/bundles/weather-1.3.0
                          note: its files go to config/bundles/weather-1.3.0 (2 files, 315 bytes)
                          note: named weather-2: another server is named weather

        added 1 server to the tenant default of config/servers.json; as it was: config/servers.json.bak-1
    "#]]
    .assert_eq(place.import(&["newer.dxt", "--yes"]).good());
}

#[test]
fn a_hash_says_which_file_is_meant() {
    let place = Place::new();
    place.write("good.json", r#"{ "mcpServers": { "a": { "command": "a" } } }"#);
    let hash = "4dab44d14d83e45ac3daf3d7ec9ed3ef9a8b9c2a7e0bd4b0f7b0e3cb2cfb0d58";
    let import = |file: &str, hash: &str| place.import(&[file, "--dry-run", "--sha256", hash]);
    let refused = import("good.json", hash);
    expect![[r#"
        error: this is not the file of that hash: found d7867610df74e46de26c095f04d92c3d59a62ed5e9cabcb9b8eabac4a188eef1, expected 4dab44d14d83e45ac3daf3d7ec9ed3ef9a8b9c2a7e0bd4b0f7b0e3cb2cfb0d58
         --> good.json
          = help: it is another version, or was changed on its way: get it again
    "#]].assert_eq(refused.bad());
    let found = refused.err.split("found ").nth(1).unwrap().split(',').next().unwrap().to_owned();
    import("good.json", &found).good();
    import("good.json", &format!("SHA256:{}", found.to_uppercase())).good();
    // Nothing of a wrong file is read.
    place.write("bad.mcpb", "no bundle");
    assert!(import("bad.mcpb", hash).bad().contains("not the file of that hash"));
    expect![[r#"
        error: --sha256 takes the 64 hexadecimal digits of a hash
          = help: as `sha256sum FILE` prints it
    "#]]
    .assert_eq(import("good.json", "12ab").bad());
    let two = place.import(&["good.json", "good.json", "--sha256", hash]);
    assert!(two.bad().contains("the hash of one file"), "{two:?}");
}

#[test]
fn a_registry_says_where_a_bundle_is() {
    let place = Place::new();
    let package = |more: &str| {
        format!(
            r#"{{ "name": "io.github.example/weather", "packages": [{{ "registryType": "mcpb",
  "identifier": "https://example.com/v1/weather.mcpb?x='y'"{more}, "transport": {{ "type": "stdio" }} }}] }}"#
        )
    };
    let hash = "fe333e598595000ae021bd27117db32ec69af6987f507ba7a63c90638ff633ce";
    place.write("server.json", &package(&format!(", \"fileSha256\": \"{hash}\"")));
    expect![[r#"
        error: this server comes as a bundle (.mcpb), which Puerto does not download by itself
         --> server.json:1:11
          |
        1 | { "name": "io.github.example/weather", "packages": [{ "registryType": "mcpb",
          |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^
          = at packages
          = help: download 'https://example.com/v1/weather.mcpb?x='\''y'\''', then: puerto import weather.mcpb --sha256 fe333e598595000ae021bd27117db32ec69af6987f507ba7a63c90638ff633ce
    "#]].assert_eq(place.import(&["server.json", "--yes"]).bad());
    place.write("server.json", &package(", \"fileSha256\": \"; rm\""));
    assert!(place.import(&["server.json"]).bad().ends_with("then: puerto import weather.mcpb\n"));
    place.write("manifest.json", &manifest(SERVER));
    expect![[r#"
        error: this is the manifest of a bundle
         --> manifest.json:1:1
          |
        1 | {
          | ^
          = help: name the bundle itself, a file that ends in .mcpb or .dxt
    "#]]
    .assert_eq(place.import(&["manifest.json"]).bad());
}

#[test]
fn a_signed_bundle_is_read() {
    let place = Place::new();
    place.weather("it.mcpb", SERVER);
    let bytes = std::fs::read(place.dir.join("it.mcpb")).unwrap();
    let block = [b"MCPB_SIG_V1", &[4, 0, 0, 0][..], b"PK\x05\x06", b"MCPB_SIG_END"].concat();
    // Older signers leave the length of the comment as it was.
    let mut counted = bytes.clone();
    let at = counted.len() - 2;
    counted[at..].copy_from_slice(&u16::try_from(block.len()).unwrap().to_le_bytes());
    for signed in [[&bytes[..], &block].concat(), [&counted[..], &block].concat()] {
        std::fs::write(place.dir.join("it.mcpb"), signed).unwrap();
        let said = place.import(&["it.mcpb", "--dry-run"]);
        assert!(said.good().contains("note: it is signed, which Puerto does not check"), "{said:?}");
    }
}

/// The format's own packer makes a bundle of a server and everything that it needs; it is signed, imported, and
/// its tools are called.
#[test]
fn a_bundle_of_the_real_packer_works() {
    let place = Place::new();
    let source = place.dir.join("source");
    for package in closure("@modelcontextprotocol/server-filesystem") {
        copy(&modules().join(&package), &source.join("node_modules").join(&package));
    }
    let text = json!({
        "manifest_version": "0.3",
        "name": "filesystem",
        "version": "1.0.0",
        "description": "Files of some directories",
        "author": { "name": "Example" },
        "server": {
            "type": "node",
            "entry_point": "node_modules/@modelcontextprotocol/server-filesystem/dist/index.js",
            "mcp_config": {
                "command": "node",
                "args": [
                    "${__dirname}/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js",
                    "${user_config.directories}"
                ]
            }
        },
        "user_config": { "directories": {
            "type": "directory", "title": "Directories", "description": "What it may read",
            "multiple": true, "required": true
        } }
    });
    place.write("source/manifest.json", &text.to_string());
    let file = place.dir.join("filesystem.mcpb");
    let packed = client("mcpb", &[source.to_str().unwrap(), file.to_str().unwrap()]);
    assert_eq!(packed, json!({ "packed": true, "signed": true }));

    place.write("one/it.txt", "from the bundle");
    place.write("two/it.txt", "");
    let said =
        place.import(&["filesystem.mcpb", "--yes", "--set", "directories=one", "--set", "directories=two"]);
    assert!(said.good().contains("note: it is signed"), "{said:?}");
    let (own, text) = (TempDir::new().unwrap(), place.read("config/servers.json"));
    let hub = Hub::start_text(PUERTO, &text, own);
    hub.wait_for("default:filesystem", "ready");
    let listed = hub.call("/mcp", "filesystem__list_allowed_directories", json!({}));
    assert!(
        ["one", "two"].iter().all(|dir| listed.to_string().contains(place.dir.join(dir).to_str().unwrap())),
        "{listed}"
    );
    let path = place.dir.join("one/it.txt");
    let read = hub.call("/mcp", "filesystem__read_text_file", json!({ "path": path }));
    assert_eq!(read["result"]["content"][0]["text"], "from the bundle", "{read}");
}

fn modules() -> std::path::PathBuf {
    root().join("peers/npm/node_modules")
}

/// A package and all that it needs, as the peers have them installed.
fn closure(package: &str) -> Vec<String> {
    let mut all = vec![package.to_owned()];
    let mut at = 0;
    while let Some(package) = all.get(at) {
        let text = std::fs::read_to_string(modules().join(package).join("package.json")).unwrap();
        let described: Value = serde_json::from_str(&text).unwrap();
        let needed = described["dependencies"].as_object().into_iter().flat_map(|all| all.keys());
        for name in needed {
            if !all.contains(name) && modules().join(name).is_dir() {
                all.push(name.clone());
            }
        }
        at += 1;
    }
    all
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, there) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &there);
        } else {
            std::fs::copy(&path, &there).unwrap();
        }
    }
}
