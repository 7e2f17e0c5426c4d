//! The server `file` as its callers see it.

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use puerto_mcp::builtin::Body;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A directory with `in` (served) and `out` (not served, holds `secret`), and every kind of link between.
fn world() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
    fs::create_dir_all(inside.join("docs/deep")).unwrap();
    fs::create_dir_all(&outside).unwrap();
    fs::write(outside.join("secret"), "TOP SECRET").unwrap();
    fs::write(inside.join("a.txt"), "hello\nwörld\n").unwrap();
    fs::write(inside.join("docs/b.md"), "# needle\n").unwrap();
    fs::write(inside.join("docs/deep/c.bin"), [0, 1, 255]).unwrap();
    symlink(&outside, inside.join("abs_dir")).unwrap();
    symlink(outside.join("secret"), inside.join("abs_file")).unwrap();
    symlink("../out", inside.join("rel_dir")).unwrap();
    symlink("../out/secret", inside.join("docs/rel_file")).unwrap();
    symlink("docs", inside.join("good_dir")).unwrap();
    symlink("a.txt", inside.join("good_file")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("missing", inside.join("dangling")).unwrap();
    dir
}

fn server(dir: &TempDir, writable: bool) -> Files {
    let options = OptionsDef { roots: vec!["in".into()], writable, ..OptionsDef::default() };
    Files::open(&options, dir.path()).unwrap()
}

async fn call(server: &Files, tool: &str, arguments: &Value) -> Result<Value, CallError> {
    let arguments = RawValue::from_string(arguments.to_string()).unwrap();
    let answer = server.call(tool, &arguments, CancellationToken::new()).await?;
    let value = serde_json::from_str(answer.structured.unwrap().get()).unwrap();
    crate::tests::conforms(server, tool, &value);
    Ok(value)
}

async fn error(server: &Files, tool: &str, arguments: Value) -> String {
    match call(server, tool, &arguments).await {
        Err(CallError::Failed(text)) => text,
        other => panic!("{tool} {arguments} should fail, not {other:?}"),
    }
}

#[tokio::test]
async fn text_and_bytes_are_read_in_pieces() {
    let dir = world();
    let files = server(&dir, false);
    let all = call(&files, "read", &json!({ "path": "/a.txt" })).await.unwrap();
    assert_eq!(
        all,
        json!({ "path": "/a.txt", "encoding": "text", "content": "hello\nwörld\n", "offset": 0, "bytes": 13,
                "size_bytes": 13, "truncated": false })
    );
    // The limit falls inside the two bytes of "ö", which go to the next piece.
    let one = call(&files, "read", &json!({ "path": "a.txt", "limit": 8 })).await.unwrap();
    assert_eq!(
        (&one["content"], &one["next_offset"], &one["truncated"]),
        (&json!("hello\nw"), &json!(7), &json!(true))
    );
    let two = call(&files, "read", &json!({ "path": "a.txt", "offset": 7 })).await.unwrap();
    assert_eq!(two["content"], "örld\n");
    let raw =
        call(&files, "read", &json!({ "path": "docs/deep/c.bin", "encoding": "base64" })).await.unwrap();
    assert_eq!((&raw["content"], &raw["bytes"]), (&json!("AAH/"), &json!(3)));
    let past = call(&files, "read", &json!({ "path": "a.txt", "offset": 99 })).await.unwrap();
    assert_eq!((&past["content"], &past["truncated"]), (&json!(""), &json!(false)));
}

#[tokio::test]
async fn reading_explains_what_is_wrong() {
    let dir = world();
    let files = server(&dir, false);
    for (arguments, expected) in [
        (
            json!({ "path": "docs/deep/c.bin" }),
            "\"/docs/deep/c.bin\" is not UTF-8 text (byte 2); read it with \"encoding\": \"base64\"",
        ),
        (
            json!({ "path": "a.txt", "offset": 8 }),
            "offset 8 of \"/a.txt\" is inside a character; use next_offset",
        ),
        (
            json!({ "path": "a.txt", "offset": 7, "limit": 1 }),
            "\"limit\" is smaller than one character of \"/a.txt\"",
        ),
        (json!({ "path": "nope" }), "could not read \"/nope\": it does not exist"),
        (json!({ "path": "docs" }), "\"/docs\" is a directory; use list"),
        (json!({ "path": "a.txt", "limit": 1_048_577 }), "\"limit\" must be between 1 and 1048576"),
        (json!({ "path": "../out/secret" }), "the path \"../out/secret\" leads outside the served directory"),
        (
            json!({ "path": "abs_file" }),
            "could not read \"/abs_file\": it leads outside the served directory",
        ),
        (
            json!({ "path": "rel_dir/secret" }),
            "could not read \"/rel_dir/secret\": it leads outside the served directory",
        ),
    ] {
        let text = error(&files, "read", arguments.clone()).await;
        assert!(text.contains(expected), "{arguments}: {text}");
        assert!(!text.contains(&*dir.path().to_string_lossy()), "{text}");
    }
}

#[tokio::test]
async fn links_inside_work() {
    let dir = world();
    let files = server(&dir, true);
    let linked = call(&files, "read", &json!({ "path": "good_dir/b.md" })).await.unwrap();
    assert_eq!(linked["content"], "# needle\n");
    call(&files, "write", &json!({ "path": "good_file", "content": "new" })).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("in/a.txt")).unwrap(), "new");
    assert!(
        fs::symlink_metadata(dir.path().join("in/good_file")).unwrap().is_symlink(),
        "the link stays a link"
    );
    let stat = call(&files, "stat", &json!({ "path": "good_dir" })).await.unwrap();
    assert_eq!((&stat["kind"], &stat["symlink"]), (&json!("directory"), &json!(true)));
    let stat = call(&files, "stat", &json!({ "path": "abs_dir" })).await.unwrap();
    assert_eq!((&stat["kind"], &stat["symlink"]), (&json!("symlink"), &json!(true)));
}

#[tokio::test]
async fn lists_are_sorted_bounded_and_stop_at_links() {
    let dir = world();
    let files = server(&dir, false);
    let paths = |listing: &Value| -> Vec<String> {
        listing["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| e["path"].as_str().unwrap().to_owned())
            .collect()
    };
    let docs = call(&files, "list", &json!({ "path": "/docs" })).await.unwrap();
    assert_eq!(paths(&docs), ["/docs/b.md", "/docs/deep", "/docs/rel_file"]);
    assert_eq!((&docs["entries"][0]["size_bytes"], &docs["truncated"]), (&json!(9), &json!(false)));
    let all = call(&files, "list", &json!({ "recursive": true })).await.unwrap();
    assert_eq!(
        paths(&all),
        [
            "/a.txt",
            "/abs_dir",
            "/abs_file",
            "/dangling",
            "/docs",
            "/docs/b.md",
            "/docs/deep",
            "/docs/deep/c.bin",
            "/docs/rel_file",
            "/good_dir",
            "/good_file",
            "/rel_dir",
            "/up"
        ]
    );
    let some = call(&files, "list", &json!({ "recursive": true, "limit": 3 })).await.unwrap();
    assert_eq!((paths(&some).len(), &some["truncated"]), (3, &json!(true)));
    let exact = call(&files, "list", &json!({ "recursive": true, "limit": 13 })).await.unwrap();
    assert_eq!(exact["truncated"], false);
    assert!(error(&files, "list", json!({ "path": "abs_dir" })).await.contains("leads outside"));
    assert!(error(&files, "list", json!({ "path": "a.txt" })).await.contains("not a directory"));
}

#[tokio::test]
async fn search_finds_names_and_lines_and_says_what_stopped_it() {
    let dir = world();
    let files = server(&dir, false);
    let by_name = call(&files, "search", &json!({ "name": "*.md" })).await.unwrap();
    assert_eq!(by_name["matches"], json!([{ "path": "/docs/b.md", "kind": "file" }]));
    let by_path = call(&files, "search", &json!({ "name": "docs/**/*.bin" })).await.unwrap();
    assert_eq!(by_path["matches"][0]["path"], "/docs/deep/c.bin");
    let below = call(&files, "search", &json!({ "path": "docs", "name": "deep/*" })).await.unwrap();
    assert_eq!(below["matches"].as_array().unwrap().len(), 1);
    let by_text = call(&files, "search", &json!({ "text": "needle" })).await.unwrap();
    assert_eq!(
        by_text["matches"],
        json!([{ "path": "/docs/b.md", "kind": "file", "line": 1, "text": "# needle" }])
    );
    assert_eq!(by_text["skipped"], 1, "c.bin is not text");
    let both = call(&files, "search", &json!({ "text": "needle", "name": "*.txt" })).await.unwrap();
    assert_eq!((&both["matches"], &both["truncated"]), (&json!([]), &json!(false)));
    let one = call(&files, "search", &json!({ "name": "*", "limit": 1 })).await.unwrap();
    assert_eq!((&one["stopped_by"], &one["truncated"]), (&json!("limit"), &json!(true)));
    let secret = call(&files, "search", &json!({ "text": "TOP SECRET" })).await.unwrap();
    assert_eq!(secret["matches"], json!([]), "links lead nowhere");
    assert!(error(&files, "search", json!({})).await.contains("give \"name\" (a glob), \"text\""));
    assert!(error(&files, "search", json!({ "name": "[" })).await.contains("is not a glob"));
}

#[tokio::test]
async fn a_write_replaces_the_whole_file_and_leaves_nothing_behind() {
    let dir = world();
    let files = server(&dir, true);
    let inside = dir.path().join("in");
    let new =
        call(&files, "write", &json!({ "path": "x/y/new.txt", "content": "1", "create_parents": true }))
            .await;
    assert_eq!(
        new.unwrap(),
        json!({ "path": "/x/y/new.txt", "created": true, "written_bytes": 1, "size_bytes": 1 })
    );
    let bytes =
        call(&files, "write", &json!({ "path": "x/y/new.txt", "content": "AAH/", "encoding": "base64" }))
            .await;
    assert_eq!(bytes.unwrap()["created"], false);
    assert_eq!(fs::read(inside.join("x/y/new.txt")).unwrap(), [0, 1, 255]);
    let more = call(&files, "append", &json!({ "path": "x/y/new.txt", "content": "!" })).await.unwrap();
    assert_eq!((&more["written_bytes"], &more["size_bytes"]), (&json!(1), &json!(4)));
    call(&files, "append", &json!({ "path": "log", "content": "first" })).await.unwrap();
    assert_eq!(fs::read_to_string(inside.join("log")).unwrap(), "first");
    assert_eq!(fs::read_dir(inside.join("x/y")).unwrap().count(), 1, "no temporary file is left");
    for (tool, arguments, expected) in [
        (
            "write",
            json!({ "path": "no/f", "content": "" }),
            "its directory does not exist; set \"create_parents\": true",
        ),
        ("write", json!({ "path": "docs", "content": "" }), "\"/docs\" is a directory"),
        ("write", json!({ "path": "/", "content": "" }), "it is a served directory itself"),
        ("write", json!({ "path": "f", "content": "?", "encoding": "base64" }), "\"content\" is not base64"),
        (
            "write",
            json!({ "path": "f", "content": "a".repeat(write::WRITE_BYTES_MAX + 1) }),
            "more than 8388608",
        ),
        ("append", json!({ "path": "docs", "content": "" }), "\"/docs\" is a directory"),
        ("write", json!({ "path": "abs_file", "content": "" }), "leads outside"),
        ("write", json!({ "path": "abs_dir/new", "content": "" }), "leads outside"),
        ("write", json!({ "path": "up/out/new", "content": "", "create_parents": true }), "leads outside"),
        ("append", json!({ "path": "abs_file", "content": "x" }), "leads outside"),
    ] {
        let text = error(&files, tool, arguments).await;
        assert!(text.contains(expected), "{tool}: {text}");
    }
    assert_eq!(fs::read_to_string(dir.path().join("out/secret")).unwrap(), "TOP SECRET");
}

#[tokio::test]
async fn a_write_keeps_the_permissions_of_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = world();
    let path = dir.path().join("in/a.txt");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    call(&server(&dir, true), "write", &json!({ "path": "a.txt", "content": "x" })).await.unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o750);
}

#[tokio::test]
async fn moving_and_deleting_ask_before_they_destroy() {
    let dir = world();
    let files = server(&dir, true);
    let inside = dir.path().join("in");
    for (tool, arguments, expected) in [
        ("move", json!({ "from": "a.txt", "to": "docs/b.md" }), "exists already; set \"overwrite\": true"),
        (
            "move",
            json!({ "from": "a.txt", "to": "docs" }),
            "is a directory; give the whole new path, such as \"/docs/a.txt\"",
        ),
        ("move", json!({ "from": "a.txt", "to": "no/a" }), "the directory there does not exist"),
        ("move", json!({ "from": "nope", "to": "b" }), "could not move \"/nope\": it does not exist"),
        ("move", json!({ "from": "a.txt", "to": "abs_dir/a" }), "leads outside"),
        ("move", json!({ "from": "rel_dir/secret", "to": "stolen" }), "leads outside"),
        ("delete", json!({ "path": "docs" }), "is not empty; set \"recursive\": true"),
        ("delete", json!({ "path": "/", "recursive": true }), "it is a served directory itself"),
        ("delete", json!({ "path": "docs/..", "recursive": true }), "it is a served directory itself"),
        ("delete", json!({ "path": "abs_dir/secret" }), "leads outside"),
        ("delete", json!({ "path": "nope" }), "it does not exist"),
    ] {
        let text = error(&files, tool, arguments).await;
        assert!(text.contains(expected), "{tool}: {text}");
    }
    let moved = call(&files, "move", &json!({ "from": "a.txt", "to": "docs/b.md", "overwrite": true }))
        .await
        .unwrap();
    assert_eq!(moved, json!({ "from": "/a.txt", "to": "/docs/b.md", "replaced": true }));
    let link = call(&files, "delete", &json!({ "path": "abs_dir", "recursive": true })).await.unwrap();
    assert_eq!(link, json!({ "path": "/abs_dir", "kind": "symlink" }));
    call(&files, "delete", &json!({ "path": "docs", "recursive": true })).await.unwrap();
    assert!(!inside.join("docs").exists());
    assert_eq!(fs::read_to_string(dir.path().join("out/secret")).unwrap(), "TOP SECRET");
}

#[tokio::test]
async fn without_writable_the_changing_tools_do_not_exist() {
    let dir = world();
    let files = server(&dir, false);
    let names: Vec<String> = files.tools().iter().map(|tool| tool.name.clone().into_owned()).collect();
    assert_eq!(names, ["read", "list", "stat", "search"]);
    for tool in ["write", "append", "move", "delete"] {
        let result = call(&files, tool, &json!({ "path": "a.txt", "content": "" })).await;
        assert!(matches!(result, Err(CallError::Unknown)), "{tool}");
    }
    for tool in server(&dir, true).tools() {
        let hints = (
            tool.annotations.read_only_hint,
            tool.annotations.destructive_hint,
            tool.annotations.idempotent_hint,
        );
        let expected = match &*tool.name {
            "write" => (false, true, true),
            "append" => (false, false, false),
            "move" | "delete" => (false, true, false),
            _ => (true, false, true),
        };
        assert_eq!(hints, expected, "{}", tool.name);
    }
}

#[tokio::test]
async fn pipes_are_not_waited_for() {
    let dir = world();
    let pipe = dir.path().join("in/pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let files = server(&dir, true);
    for (tool, arguments) in [
        ("read", json!({ "path": "pipe" })),
        ("append", json!({ "path": "pipe", "content": "x" })),
        ("write", json!({ "path": "pipe", "content": "x" })),
    ] {
        assert!(error(&files, tool, arguments).await.contains("is neither a file nor a directory"), "{tool}");
    }
    let found = call(&files, "search", &json!({ "text": "needle", "name": "p*" })).await.unwrap();
    assert_eq!(found["matches"], json!([]));
}

#[tokio::test]
async fn files_are_resources() {
    let dir = world();
    fs::write(dir.path().join("in/ä b.json"), "{}").unwrap();
    let files = server(&dir, false);
    assert_eq!(files.templates()[0].uri_template, "file:///{+path}");
    let read = |uri: &'static str| files.read(uri, CancellationToken::new());
    let text = read("file:///docs/b.md").await.unwrap().remove(0);
    assert!(matches!(&text.body, Body::Text(text) if text == "# needle\n"));
    assert_eq!((text.mime_type.as_str(), text.uri.as_str()), ("text/markdown", "file:///docs/b.md"));
    assert_eq!(read("file:///%C3%A4%20b.json").await.unwrap()[0].mime_type, "application/json");
    let bytes = read("file:///docs/deep/c.bin").await.unwrap().remove(0);
    assert!(matches!(&bytes.body, Body::Blob(blob) if blob == "AAH/"));
    for bad in ["file:///%2e%2e/out/secret", "file:///abs_file", "file:///..%2Fout/secret", "file:///nope"] {
        assert!(matches!(read(bad).await, Err(CallError::Failed(_))), "{bad}");
    }
    for unknown in ["http:///a.txt", "file://localhost/a.txt", "file:a.txt"] {
        assert!(matches!(read(unknown).await, Err(CallError::Unknown)), "{unknown}");
    }
}

#[test]
fn a_root_that_is_missing_is_explained() {
    let dir = world();
    let open = |roots: &[&str]| {
        let roots = roots.iter().map(ToString::to_string).collect();
        Files::open(&OptionsDef { roots, ..OptionsDef::default() }, dir.path()).err().unwrap().to_string()
    };
    let text = open(&["nope"]);
    assert!(
        text.contains("could not open the root \"nope\"") && text.contains("create the directory"),
        "{text}"
    );
    assert!(open(&["in/a.txt"]).contains("could not open the root \"in/a.txt\""));
    assert!(open(&[]).contains("\"roots\" is missing: name at least one directory"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_outside_is_ever_read_or_changed(
        parts in proptest::collection::vec(
            proptest::sample::select(vec![
                "a.txt", "docs", "deep", "b.md", "abs_dir", "abs_file", "rel_dir", "rel_file", "good_dir", "good_file",
                "up", "dangling", "..", ".", "", "out", "in", "secret", "new", "in:", "C:", "~",
            ]),
            0..6,
        ),
        slash in any::<bool>(),
    ) {
        let path = format!("{}{}", if slash { "/" } else { "" }, parts.join("/"));
        let dir = world();
        let files = server(&dir, true);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for (tool, arguments) in [
                ("read", json!({ "path": path })),
                ("list", json!({ "path": path, "recursive": true })),
                ("stat", json!({ "path": path })),
                ("search", json!({ "path": path, "text": "SECRET" })),
                ("append", json!({ "path": path, "content": "gone" })),
                ("write", json!({ "path": path, "content": "gone", "create_parents": true })),
                ("move", json!({ "from": path, "to": "moved", "overwrite": true })),
                ("move", json!({ "from": "docs/b.md", "to": path, "overwrite": true })),
                ("delete", json!({ "path": path, "recursive": true })),
            ] {
                let shown = match call(&files, tool, &arguments).await {
                    Ok(value) => value.to_string(),
                    Err(error) => error.to_string(),
                };
                assert!(!shown.contains("TOP SECRET"), "{tool} {path}: {shown}");
                assert!(!shown.contains(&*dir.path().to_string_lossy()), "{tool} {path}: {shown}");
            }
        });
        prop_assert_eq!(fs::read_to_string(dir.path().join("out/secret")).unwrap(), "TOP SECRET", "{}", path);
        let outside: Vec<_> = fs::read_dir(dir.path().join("out")).unwrap().collect();
        prop_assert_eq!(outside.len(), 1, "{}", path);
        prop_assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "{}", path);
    }
}
