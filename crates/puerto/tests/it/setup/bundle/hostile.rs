//! Bundles that mean harm, or were broken on their way.

use expect_test::expect;

use super::{Part, Place, SERVER, manifest, part};

/// What is said first of a bundle.
fn refused(place: &Place) -> String {
    let said = place.import(&["it.mcpb", "--yes"]);
    format!("{}\n", said.bad().lines().next().unwrap())
}

#[test]
fn hostile_bundles_are_refused_and_leave_nothing() {
    let place = Place::new();
    let good = part("manifest.json", &manifest(SERVER));
    let bad = |bad: Part| vec![good.clone(), bad];
    let plain = part("x", "text");
    let mut bundles = vec![
        bad(part("../evil", "x")),
        bad(part("a/../../evil", "x")),
        bad(part("/etc/evil", "x")),
        bad(part("C:/evil", "x")),
        bad(part("a\\..\\evil", "x")),
        bad(part("a//evil", "x")),
        bad(part("./evil", "x")),
        bad(part("a\u{1b}[2J", "x")),
        bad(part("", "x")),
        bad(Part { mode: 0o120_777, ..part("link", "/etc/passwd") }),
        bad(Part { mode: 0o010_644, ..part("pipe", "") }),
        bad(Part { flags: 0x801, ..plain.clone() }),
        bad(Part { method: 12, ..plain.clone() }),
        bad(part("manifest.json", "{}")),
        bad(part("Manifest.JSON", "{}")),
        bad(part("manifest.json/x", "x")),
        vec![good.clone(), part("lib/a", "x"), part("LIB/b", "x")],
        vec![good.clone(), part("lib/a", "x"), part("lib", "x")],
        bad(Part { size: Some(20_000_000), ..plain.clone() }),
        bad(Part { size: Some(u32::MAX - 1), ..plain.clone() }),
        bad(Part { size: Some(3), ..plain.clone() }),
        bad(Part { is_damaged: true, ..plain.clone() }),
        vec![plain.clone()],
        vec![part("weather/manifest.json", "{}")],
        vec![Part { data: vec![0xff], ..good.clone() }],
    ];
    bundles.push(Vec::new());
    let mut said = String::new();
    for parts in &bundles {
        place.bundle("it.mcpb", parts);
        said += &refused(&place);
        assert!(!place.has("config") && !place.has("evil"), "{said}");
    }
    for bytes in [&b""[..], b"no zip", b"PK\x03\x04", b"PK\x03\x04 cut off"] {
        std::fs::write(place.dir.join("it.mcpb"), bytes).unwrap();
        said += &refused(&place);
    }
    expect![[r#"
        error: "../evil" in this bundle leads out of it
        error: "a/../../evil" in this bundle leads out of it
        error: "/etc/evil" in this bundle is a path from the root of a disk
        error: "C:/evil" in this bundle is a path from the root of a disk
        error: "a\\..\\evil" in this bundle has a backslash, which parts directories on some systems
        error: "a//evil" in this bundle is no plain path
        error: "./evil" in this bundle is no plain path
        error: "a\u{1b}[2J" in this bundle has a control character in its name
        error: "" in this bundle is no plain path
        error: "link" in this bundle is a link
        error: "pipe" in this bundle is no plain file
        error: "x" in this bundle is encrypted
        error: "x" in this bundle is packed in a way other than "deflate"
        error: "manifest.json" in this bundle is there twice
        error: "Manifest.JSON" in this bundle has a name that some systems take for "manifest.json"
        error: "manifest.json/x" in this bundle is a file and a directory in one
        error: "LIB/b" in this bundle has a name that some systems take for "lib"
        error: "lib" in this bundle is a file and a directory in one
        error: this bundle would unpack to 39063 times its size; 100 times are allowed
        error: this bundle would unpack to 4294967600 bytes; 2147483648 are allowed
        error: could not unpack "x" to DIR/config/bundles/weather-1.2.0: File is larger than its declared uncompressed size
        error: could not unpack "x" to DIR/config/bundles/weather-1.2.0: Invalid checksum
        error: this bundle has no manifest.json
        error: this bundle has no manifest.json
        error: its manifest.json is not UTF-8
        error: this bundle has no manifest.json
        error: this is no whole bundle: invalid Zip archive: Could not find EOCD
        error: this is no whole bundle: invalid Zip archive: Could not find EOCD
        error: this is no whole bundle: invalid Zip archive: Could not find EOCD
        error: this is no whole bundle: invalid Zip archive: Could not find EOCD
    "#]].assert_eq(&said);
    let deep: &'static str = "a/".repeat(300).leak();
    place.bundle("it.mcpb", &bad(part(deep, "")));
    assert!(place.import(&["it.mcpb", "--yes"]).bad().contains("has too long a path"));
    // Directories count too, also those that no entry names.
    let deep = |at: usize| part(format!("{at}/{}x", "a/".repeat(250)).leak(), "");
    place.bundle("it.mcpb", &[vec![good.clone()], (0..400).map(deep).collect()].concat());
    assert!(refused(&place).contains("more than 100000 files and directories"));
    let two = [part("server/index.js", "// other"), good];
    place.weather("one.mcpb", SERVER);
    place.bundle("two.mcpb", &two);
    assert!(place.import(&["one.mcpb", "two.mcpb", "--yes"]).bad().contains("two files want the same place"));
}

#[test]
fn a_hostile_bundle_is_named() {
    let place = Place::new();
    place.bundle("it.mcpb", &[part("manifest.json", &manifest(SERVER)), part("../evil", "x")]);
    expect![[r#"
        error: "../evil" in this bundle leads out of it
         --> it.mcpb
          = help: nothing was unpacked; such a bundle is broken or means harm
    "#]]
    .assert_eq(place.import(&["it.mcpb", "--yes"]).bad());
}
