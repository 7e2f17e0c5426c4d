//! OpenAPI documents, and behind a line of ten dashes the arguments of a call. Whatever the document, it is refused or
//! becomes tools that every client takes; whatever the arguments, they are refused or become a request below the API's
//! own address, in which no value leaves the place that the document gives it.
#![no_main]

use std::collections::BTreeSet;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use puerto_servers::openapi::{Settings, Source, read};
use serde_json::value::RawValue;

const LINE: &[u8] = b"\n----------\n";
/// Tools of one document that are called.
const CALLED: usize = 4;

fuzz_target!(|text: &[u8]| {
    let at = text.windows(LINE.len()).position(|window| window == LINE);
    let (document, arguments) = at.map_or((text, &b"{}"[..]), |at| (&text[..at], &text[at + LINE.len()..]));
    let settings = Settings {
        source: Source::File(PathBuf::from("api.yaml")),
        base_url: Some("http://127.0.0.1:1/base".to_owned()),
        operations: Default::default(),
        headers: Default::default(),
        auth: Default::default(),
        pages: 1,
        response_max: 1 << 20,
    };
    let Ok(api) = read(document, &settings) else { return };
    let tools = api.tools();
    let names: BTreeSet<_> = tools.iter().map(|tool| tool.name.to_string()).collect();
    assert_eq!(names.len(), tools.len(), "two tools have one name");
    for tool in &tools {
        let name = &*tool.name;
        let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        assert!(!name.is_empty() && name.len() <= 128 && is_plain, "{name:?}");
        assert!(tool.input_schema.is_object(), "{name}: {}", tool.input_schema);
    }
    let Ok(arguments) = serde_json::from_slice::<&RawValue>(arguments) else { return };
    for name in names.iter().take(CALLED) {
        let Ok(draft) = api.request(name, arguments) else { continue };
        let target = &draft.target;
        assert!(target.starts_with("/base/") && target.parse::<http::Uri>().is_ok(), "{name}: {target:?}");
        let path = target.split('?').next().unwrap_or_default();
        assert!(!path.split('/').any(|part| matches!(part, "." | "..")), "{name}: {target:?}");
        assert!(!target.contains('#'), "{name}: {target:?}");
    }
});
