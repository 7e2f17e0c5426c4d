//! A definition of a service that comes by API: the entry of the file, alone. It is judged as the file's are, in a
//! configuration of its own that holds what it may refer to.

use std::collections::BTreeMap;

use puerto_core::def::ServiceDef;
use puerto_core::{ServerName, ServiceName, TenantId};
use serde_json::{Value as Json, json};

use super::json::{self, Node, Value};
use super::problem::{Path, Problem, Report, Severity};
use super::{check, schema};

/// What is wrong with a definition: the member, and in which way.
pub(crate) type Wrong = String;

/// A definition as it came: JSON, and who it is about.
pub(crate) struct Given {
    /// The members, as they were written, without the braces around them.
    members: String,
    pub(crate) tenant: String,
    pub(crate) name: Option<String>,
}

/// What a definition may refer to.
pub(crate) struct Beside {
    /// The servers of each tenant.
    pub(crate) servers: BTreeMap<TenantId, Vec<ServerName>>,
    /// The other services of its tenant, and what each depends on.
    pub(crate) services: Vec<(ServiceName, Vec<ServiceName>)>,
}

impl Given {
    /// Reads a body. Where the path of the request says which service is meant, the body may leave that out.
    ///
    /// # Errors
    /// Where it is no object, names another service, or holds a variable: nobody outside may read the environment.
    pub(crate) fn read(body: &[u8], named: Option<(&str, &str)>) -> Result<Self, Wrong> {
        let body = std::str::from_utf8(body).map_err(|_| "body: it is not UTF-8".to_owned())?;
        let node = json::read(body).map_err(|mistake| {
            let line = body[..mistake.span.start].matches('\n').count() + 1;
            format!("body: {} (line {line})", mistake.message)
        })?;
        let Value::Object(_) = node.value else { return Err("body: it is no object".into()) };
        literal(&node, &Path::Root)?;
        let mut members = body[node.span.start + 1..node.span.end - 1].to_owned();
        for (key, meant) in named.iter().flat_map(|(tenant, name)| [("tenant", tenant), ("name", name)]) {
            match node.get(key) {
                None => members = format!("{}: {},\n{members}", json!(key), json!(meant)),
                Some(said) if said.text() == Some(*meant) => {}
                Some(_) => return Err(format!("{key}: the path of the request says {meant:?}")),
            }
        }
        let text = |key: &str| node.get(key).and_then(Node::text).map(str::to_owned);
        let tenant = named.map(|(tenant, _)| tenant.to_owned()).or_else(|| text("tenant"));
        let name = named.map(|(_, name)| name.to_owned()).or_else(|| text("name"));
        Ok(Self { members, tenant: tenant.unwrap_or_else(|| TenantId::default().to_string()), name })
    }

    /// Judges it by the schema and the checks of the file. Answers it as it is kept, too.
    ///
    /// # Errors
    /// Everything that is wrong, each with its member, in the words of `puerto check`. Values are not repeated: they may
    /// be secrets.
    pub(crate) fn judge(&self, beside: &Beside) -> Result<(ServiceDef, Json), Wrong> {
        let text = self.configuration(beside);
        let unread = |mistake: json::Mistake| format!("body: {}", mistake.message);
        let mut root = json::read(&text).map_err(unread)?;
        let mut report = Report::new("body", &text);
        schema::validate(&schema(), &mut root, &mut report);
        check::check(&root, &mut report);
        let wrong: Vec<_> = report.into_problems().iter().filter_map(told).collect();
        if !wrong.is_empty() {
            return Err(wrong.join("; "));
        }
        let document = root.get("services").and_then(|all| all.items().first()).map(Node::to_json);
        let document = document.unwrap_or_default();
        // The schema comes from the same type. What serde says may repeat a value.
        let def =
            serde_json::from_value(document.clone()).map_err(|_| "body: it is no definition".to_owned())?;
        Ok((def, document))
    }

    /// A configuration with this service as its first.
    fn configuration(&self, beside: &Beside) -> String {
        let servers = |names: &[ServerName]| -> Json {
            let entries = names.iter().map(|name| (name.to_string(), json!({"command": "none"})));
            Json::Object(entries.collect())
        };
        let tenants = beside.servers.iter();
        let tenants = tenants.map(|(id, names)| (id.to_string(), json!({"servers": servers(names)})));
        let tenants = Json::Object(tenants.collect());
        let is_there = |parent: &&ServiceName| {
            self.name.as_deref() == Some(parent.as_str())
                || beside.services.iter().any(|(name, _)| name == *parent)
        };
        let mut text = format!("{{\"tenants\": {tenants},\n\"services\": [{{{}\n}}", self.members);
        for (name, parents) in &beside.services {
            let parents: Vec<_> = parents.iter().filter(is_there).collect();
            let other = json!({"name": name, "tenant": self.tenant, "url": "push://", "parents": parents});
            text.push_str(&format!(",\n{other}"));
        }
        text + "]}"
    }
}

/// What a problem says of the definition. One of another service can only be a circle that this one closes.
fn told(problem: &Problem) -> Option<Wrong> {
    if problem.severity != Severity::Error {
        return None;
    }
    let rest = problem.path.strip_prefix("services[")?;
    let member = match rest.split_once(']') {
        Some(("0", "")) => "body",
        Some(("0", member)) => member.trim_start_matches('.'),
        _ => "parents",
    };
    let mut said = format!("{member}: {}", problem.message);
    if let Some(expected) = &problem.expected {
        said = format!("{said}: expected {expected}");
    }
    if let Some(help) = &problem.help {
        said = format!("{said} ({help})");
    }
    Some(said)
}

/// Refuses variables, wherever they are.
fn literal(node: &Node, path: &Path<'_>) -> Result<(), Wrong> {
    match &node.value {
        Value::Text(text) if text.contains("${") => {
            Err(format!("{path}: variables are filled in by the file alone; write the value itself"))
        }
        Value::List(items) => {
            items.iter().enumerate().try_for_each(|(at, item)| literal(item, &Path::Item(path, at)))
        }
        Value::Object(members) => {
            members.iter().try_for_each(|member| literal(&member.node, &Path::Key(path, &member.key)))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(body: &str) -> Result<ServiceDef, Wrong> {
        let service = |name: &str, parents: &[&str]| {
            let named = |name: &str| ServiceName::new(name).unwrap();
            (named(name), parents.iter().map(|name| named(name)).collect())
        };
        let beside = Beside {
            servers: BTreeMap::from([
                (TenantId::default(), vec![ServerName::new("tools").unwrap()]),
                (TenantId::new("acme").unwrap(), vec![]),
            ]),
            services: vec![
                service("gateway", &["gone", "web"]),
                service("other", &[]),
                service("zoo", &["web"]),
            ],
        };
        Given::read(body.as_bytes(), None)?.judge(&beside).map(|(def, _)| def)
    }

    #[test]
    fn what_fits_is_taken_as_the_file_takes_it() {
        for body in [
            r#"{"name": "web", "url": "https://a.test/", "interval": "1m", "parents": ["other"]}"#,
            "// as in the file\n{\"name\": \"web\", \"url\": \"mcp://default/tools\", // its end\n}",
            r#"{"name": "web", "tenant": "acme", "url": "push://"}"#,
        ] {
            let def = judged(body).unwrap_or_else(|wrong| panic!("{body}: {wrong}"));
            assert_eq!(def.name.as_str(), "web");
        }
    }

    #[test]
    fn what_does_not_fit_names_the_member_and_no_value() {
        for (body, said) in [
            ("{", "body: "),
            ("[]", "body: it is no object"),
            ("{}, {}", "body: found"),
            ("\u{7f}", "body: "),
            (r#"{"url": "push://"}"#, "body: "),
            (r#"{"name": "web", "url": "harbour"}"#, "url: "),
            (r#"{"name": "web", "url": "https://a.test/", "body": ["harbour"]}"#, "body: "),
            (
                r#"{"name": "web", "url": "https://a.test/", "headers": {"x": {"y": "harbour"}}}"#,
                "headers.x: ",
            ),
            (r#"{"name": "web", "url": "tcp://a.test:1", "headers": {"x": "harbour"}}"#, "headers: "),
            (r#"{"name": "a b", "url": "push://"}"#, "name: "),
            (
                r#"{"name": "web", "url": "http://a.test", "conditions": ["[STATUS] == 1", "[STATUS] ="]}"#,
                "conditions[1]: ",
            ),
            (r#"{"name": "web", "url": "push://", "interval": "soon"}"#, "interval: "),
            (r#"{"name": "web", "url": "push://", "tenant": "none"}"#, "tenant: there is no tenant"),
            (r#"{"name": "web", "url": "mcp://default/none"}"#, "url: the tenant has no such server"),
            (r#"{"name": "web", "url": "mcp://acme/tools"}"#, "url: the server belongs to another tenant"),
            (r#"{"name": "web", "url": "push://", "parents": ["none"]}"#, "parents[0]: "),
            (r#"{"name": "web", "url": "push://", "parents": ["gateway"]}"#, "parents[0]: services depend"),
            // This one closes at the other service.
            (r#"{"name": "web", "url": "push://", "parents": ["zoo"]}"#, "parents: services depend"),
            (r#"{"name": "web", "url": "push://", "colour": 1}"#, "colour: "),
            (
                r#"{"name": "web", "url": "https://a.test/", "headers": {"x": "${HOME}"}}"#,
                "headers.x: variables are filled in by the file alone",
            ),
        ] {
            let wrong = judged(body).unwrap_err();
            assert!(wrong.starts_with(said), "{body}: {wrong}");
            assert!(!wrong.contains("harbour"), "{body}: {wrong}");
        }
    }

    #[test]
    fn the_path_may_name_it_and_must_not_disagree() {
        let read = |body: &str| Given::read(body.as_bytes(), Some(("acme", "web")));
        let given = read(r#"{"url": "push://",}"#).unwrap();
        assert_eq!((given.tenant.as_str(), given.name.as_deref()), ("acme", Some("web")));
        let beside =
            Beside { servers: BTreeMap::from([(TenantId::new("acme").unwrap(), vec![])]), services: vec![] };
        let (def, document) = given.judge(&beside).unwrap();
        assert_eq!((def.tenant.as_str(), &document["name"]), ("acme", &json!("web")));
        assert_eq!(read(r#"{"name": "other"}"#).err().unwrap(), "name: the path of the request says \"web\"");
    }
}
