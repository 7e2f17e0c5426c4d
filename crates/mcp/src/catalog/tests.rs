//! Merging offers: names, collisions, pages, changes.

use super::*;
use crate::era::Revision;
use crate::offer::{About, Can};

fn part(server: &str, lists: &str) -> Part {
    let text = Bytes::from(format!(
        r#"{{"capabilities":{{"tools":{{}},"resources":{{}},"prompts":{{}}}},{lists}}}"#
    ));
    let offer = Offer::from_json(&text).unwrap();
    Part { server: ServerName::new(server).unwrap(), offer: Arc::new(offer), kinds: None, tools_max: 0 }
}

fn merge(parts: &[Part]) -> Catalog {
    Catalog::merge(parts, names::aliases(parts.iter().map(|p| &p.server)), Separator::default())
}

fn keys(catalog: &Catalog, kind: ListKind) -> Vec<&str> {
    catalog.all.list(kind).keys().collect()
}

#[test]
fn names_tell_servers_apart_and_every_form_leads_home() {
    let catalog = merge(&[
        part("b", r#""tools":[{"name":"echo","x":1.10},{"name":"add"}]"#),
        part("a_x", r#""tools":[{"name":"echo"}]"#),
    ]);
    assert_eq!(keys(&catalog, ListKind::Tools), ["a-x__echo", "b__add", "b__echo"]);
    for form in ["a-x__echo", "a_x.echo", "a-x.echo", "a_x__echo", "a-x_echo"] {
        let target = catalog.tool(form).unwrap();
        assert_eq!((target.server.as_str(), &*target.key), ("a_x", "echo"), "{form}");
    }
    assert_eq!(catalog.tool("b__unlisted").unwrap().server.as_str(), "b");
    assert_eq!(catalog.tool("nobody__echo"), None);
    let page = catalog.all.list(ListKind::Tools).page(Some("b__add"), 10);
    assert_eq!(page.items, r#"{"name":"b__echo","x":1.10}"#);
}

#[test]
fn the_order_of_arrival_changes_nothing() {
    let parts = [
        part("a", r#""resources":[{"uri":"file:///x"}]"#),
        part("b", r#""resources":[{"uri":"file:///x"}]"#),
    ];
    let (one, other) = (merge(&parts), merge(&[parts[1].clone(), parts[0].clone()]));
    assert_eq!(keys(&one, ListKind::Resources), keys(&other, ListKind::Resources));
    assert_eq!(keys(&one, ListKind::Resources), ["file:///x", "puerto://b/file:///x"]);
    assert!(!one.notices.is_empty());
    let target = &one.resource("puerto://b/file:///x")[0];
    assert_eq!((target.server.as_str(), &*target.key), ("b", "file:///x"));
    assert_eq!(one.outward_uri(&ServerName::new("b").unwrap(), "file:///x"), "puerto://b/file:///x");
    assert_eq!(one.outward_uri(&ServerName::new("a").unwrap(), "file:///x"), "file:///x");
}

#[test]
fn pages_cover_everything_once() {
    let tools: Vec<_> = (0..25).map(|n| format!(r#"{{"name":"t{n:02}"}}"#)).collect();
    let catalog = merge(&[part("s", &format!(r#""tools":[{}]"#, tools.join(",")))]);
    let list = catalog.all.list(ListKind::Tools);
    let (mut after, mut seen) = (None::<String>, String::new());
    loop {
        let page = list.page(after.as_deref(), 7);
        seen.push_str(std::str::from_utf8(&page.items).unwrap());
        seen.push(',');
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let whole: serde_json::Value =
        serde_json::from_str(&format!("[{}]", seen.trim_end_matches(','))).unwrap();
    assert_eq!(whole.as_array().unwrap().len(), 25);
}

#[test]
fn quotas_and_kinds_are_reported_not_silent() {
    let mut limited = part("s", r#""tools":[{"name":"a"},{"name":"b"},{"name":"b"},{}]"#);
    limited.tools_max = 1;
    let catalog = merge(&[limited.clone()]);
    assert_eq!(keys(&catalog, ListKind::Tools), ["s__a"]);
    assert_eq!(catalog.notices.len(), 3, "{:?}", catalog.notices);
    limited.kinds = Some(vec![Capability::Prompts]);
    assert!(merge(&[limited]).all.list(ListKind::Tools).is_empty());
}

#[test]
fn an_unlisted_uri_may_belong_to_its_template_or_to_anyone() {
    let catalog = merge(&[
        part("a", r#""resources":[{"uri":"x://1"}]"#),
        part("b", r#""resourceTemplates":[{"uriTemplate":"y://{id}/data"}]"#),
    ]);
    let order = |uri: &str| catalog.resource(uri).iter().map(|t| t.server.to_string()).collect::<Vec<_>>();
    assert_eq!(order("x://1"), ["a"]);
    assert_eq!(order("y://7/data"), ["b", "a"]);
    assert_eq!(order("z://"), ["a", "b"]);
}

#[test]
fn a_stored_offer_reads_back_as_it_was() {
    let about = About {
        revision: Revision::MODERN,
        server_info: Bytes::from_static(br#"{"name":"n","version":"1"}"#),
        capabilities: Bytes::from_static(br#"{"tools":{"listChanged":true}}"#),
        instructions: Some("use \"it\"".into()),
        can: Can::default(),
    };
    let mut offer = Offer::new(about);
    let text = Bytes::from_static(br#"[{"name":"a","big":12345678901234567890123,"f":1.10}]"#);
    offer.take_page(ListKind::Tools, &text, crate::scan::Span { start: 0, end: text.len() as u32 }).unwrap();
    let stored = offer.to_json();
    let back = Offer::from_json(&stored.clone().into()).unwrap();
    assert_eq!(back.to_json(), stored);
    assert!(back.about.can.tools && back.about.can.list_changed);
}
