//! Merging offers: names, collisions, pages, changes.

use puerto_core::def::Separator;

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
    shaped(parts, "{}", "{}")
}

/// With overrides and profiles.
fn shaped(parts: &[Part], overrides: &str, profiles: &str) -> Catalog {
    let aliases = names::aliases(parts.iter().map(|p| &p.server));
    let overrides = serde_json::from_str(overrides).unwrap();
    let profiles = serde_json::from_str(profiles).unwrap();
    Catalog::merge(parts, Arc::new(Shape::new(aliases, Separator::default(), &overrides, profiles)))
}

fn target(catalog: &Catalog, kind: ListKind, asked: &str) -> Option<(String, String)> {
    let Found { target, .. } = catalog.find(&Scope::default(), kind, &asked.into()).ok()?;
    Some((target.server.to_string(), target.key.to_string()))
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
        let target = target(&catalog, ListKind::Tools, form).unwrap();
        assert_eq!(target, ("a_x".into(), "echo".into()), "{form}");
    }
    assert_eq!(target(&catalog, ListKind::Tools, "b__unlisted").unwrap().0, "b");
    assert_eq!(target(&catalog, ListKind::Tools, "nobody__echo"), None);
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
    let whole: Value = serde_json::from_str(&format!("[{}]", seen.trim_end_matches(','))).unwrap();
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
    offer.take_page(ListKind::Tools, &text, Span { start: 0, end: text.len() as u32 }).unwrap();
    let stored = offer.to_json();
    let back = Offer::from_json(&stored.clone().into()).unwrap();
    assert_eq!(back.to_json(), stored);
    assert!(back.about.can.tools && back.about.can.list_changed);
}

const TWO: &str = r#""tools":[{"name":"read"},{"name":"write"},{"name":"drop"}],"prompts":[{"name":"p"}]"#;

#[test]
fn overrides_switch_off_and_rename_on_every_endpoint() {
    let overrides = r#"{"tools":{"*.drop":{"enabled":false},"a.read":{"name":"look","description":"D"}}}"#;
    let catalog = shaped(&[part("a", TWO), part("b", TWO)], overrides, "{}");
    assert_eq!(keys(&catalog, ListKind::Tools), ["a__look", "a__write", "b__read", "b__write"]);
    let own = Scope::server(&ServerName::new("a").unwrap());
    let listed: Vec<_> = catalog.listing(&own).unwrap().list(ListKind::Tools).keys().collect();
    assert_eq!(listed, ["look", "write"]);
    // The new name leads home, and so does the old one, which clients may remember.
    for form in ["a__look", "a.look", "a.read", "a__read"] {
        assert_eq!(target(&catalog, ListKind::Tools, form), Some(("a".into(), "read".into())), "{form}");
    }
    for form in ["look", "read"] {
        assert_eq!(&*catalog.find(&own, ListKind::Tools, &form.into()).unwrap().target.key, "read", "{form}");
    }
    assert_eq!(catalog.find(&own, ListKind::Tools, &"drop".into()), Err(Withheld::Off));
    assert_eq!(catalog.find(&Scope::default(), ListKind::Tools, &"b.drop".into()), Err(Withheld::Off));
    assert_eq!(catalog.tools_off().len(), 2);
    let names: Vec<_> = catalog.tools(None).into_iter().map(|tool| tool.target.key.to_string()).collect();
    assert_eq!(names, ["read", "write", "read", "write"]);
}

#[test]
fn a_name_that_is_taken_is_not_given_away() {
    let swap = r#"{"tools":{"a.read":{"name":"write"},"a.write":{"name":"read"}}}"#;
    let catalog = shaped(&[part("a", TWO)], swap, "{}");
    assert_eq!(target(&catalog, ListKind::Tools, "a__read").unwrap().1, "write");
    assert_eq!(target(&catalog, ListKind::Tools, "a__write").unwrap().1, "read");
    let clash = r#"{"tools":{"a.read":{"name":"write"},"a.nothing":{"enabled":false}}}"#;
    let catalog = shaped(&[part("a", TWO)], clash, "{}");
    assert_eq!(keys(&catalog, ListKind::Tools), ["a__drop", "a__read", "a__write"]);
    assert_eq!(target(&catalog, ListKind::Tools, "a__read").unwrap().1, "read");
    assert_eq!(catalog.notices.len(), 2, "{:?}", catalog.notices);
}

#[test]
fn resources_are_switched_off_with_what_their_templates_lead_to() {
    let lists = r#""resources":[{"uri":"x://open"},{"uri":"x://shut"}],"resourceTemplates":[{"uriTemplate":"y://{id}/a"},{"uriTemplate":"z://{id}"}]"#;
    let overrides = r#"{"resources":{"s.x://shut":{"enabled":false},"s.y://{id}/a":{"enabled":false}}}"#;
    let catalog = shaped(&[part("s", lists)], overrides, "{}");
    let leads = |uri: &str| target(&catalog, ListKind::Resources, uri).is_some();
    assert!(leads("x://open") && leads("z://1") && leads("y://1/b"));
    assert!(!leads("x://shut") && !leads("y://1/a"));
    assert_eq!(target(&catalog, ListKind::Templates, "y://{id}/a"), None);
    // That another server lists it opens nothing here.
    let other = part("t", r#""resources":[{"uri":"y://1/a"}]"#);
    let catalog = shaped(&[part("s", lists), other], overrides, "{}");
    let own = Scope::server(&ServerName::new("s").unwrap());
    assert_eq!(catalog.find(&own, ListKind::Resources, &"y://1/a".into()), Err(Withheld::Off));
    assert_eq!(target(&catalog, ListKind::Resources, "y://1/a").unwrap().0, "t");
}

#[test]
fn a_profile_lists_and_reaches_only_what_belongs_to_it() {
    let profiles = r#"{"few":{"tools":["*.read","!b.*"],"prompts":[]},"lean":{"kind":"search","servers":["a"],"pinned":["a.write"]}}"#;
    let catalog = shaped(&[part("a", TWO), part("b", TWO)], "{}", profiles);
    let scope = |name: &str| Scope { server: None, profile: Some(ProfileName::new(name).unwrap()) };
    let listed =
        |name: &str, kind| catalog.listing(&scope(name)).unwrap().list(kind).keys().collect::<Vec<_>>();
    assert_eq!(listed("few", ListKind::Tools), ["a__read"]);
    assert!(listed("few", ListKind::Prompts).is_empty());
    assert_eq!(listed("lean", ListKind::Tools), ["a__write", "call_tool", "describe_tools", "search_tools"]);
    assert_eq!(listed("lean", ListKind::Prompts), ["a__p"]);
    let find = |name: &str, asked: &str| {
        catalog.find(&scope(name), ListKind::Tools, &asked.into()).map(|f| f.target.key)
    };
    assert_eq!(find("few", "a__read").as_deref(), Ok("read"));
    assert_eq!(find("few", "a__write"), Err(Withheld::Outside));
    assert_eq!(find("few", "b__read"), Err(Withheld::Outside));
    assert_eq!(find("lean", "a__read").as_deref(), Ok("read"));
    assert_eq!(find("lean", "b__read"), Err(Withheld::Outside));
    assert_eq!(catalog.index(&ProfileName::new("lean").unwrap()).unwrap().len(), 3);
}

#[test]
fn views_are_told_apart_and_keep_their_scheme() {
    let lists = r#""tools":[{"name":"show","_meta":{"x":1.0,"ui":{"resourceUri":"ui://page/a","csp":{}},"ui/resourceUri":"ui://page/a"}},{"name":"about","description":"of ui://page/a"}],"resources":[{"uri":"ui://page/a"}]"#;
    let catalog =
        merge(&[part("one", lists), part("two", lists), part("three", r#""tools":[{"name":"only"}]"#)]);
    let tool = catalog.all.list(ListKind::Tools).get("two__show").unwrap();
    let expected = r#"{"name":"two__show","_meta":{"x":1.0,"ui":{"resourceUri":"ui://two/page/a","csp":{}},"ui/resourceUri":"ui://two/page/a"}}"#;
    assert_eq!(tool, expected);
    assert_eq!(keys(&catalog, ListKind::Resources), ["ui://one/page/a", "ui://two/page/a"]);
    let leads = |uri: &str| target(&catalog, ListKind::Resources, uri);
    assert_eq!(leads("ui://two/page/a"), Some(("two".into(), "ui://page/a".into())));
    assert_eq!(leads("ui://two/page/unlisted"), Some(("two".into(), "ui://page/unlisted".into())));
    // Both have it, so it leads nowhere: a view of one must not be taken for a view of the other.
    assert_eq!(leads("ui://page/a"), None);
    let two = ServerName::new("two").unwrap();
    assert_eq!(catalog.outward_uri(&two, "ui://page/a"), "ui://two/page/a");
    assert!(catalog.wraps(&two) && !catalog.wraps(&ServerName::new("three").unwrap()));
    // Pages call tools by their servers' own names.
    assert_eq!(target(&catalog, ListKind::Tools, "only"), Some(("three".into(), "only".into())));
    assert_eq!(target(&catalog, ListKind::Tools, "show"), None);
}
