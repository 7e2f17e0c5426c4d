//! Where an API is: `servers` of the document, resolved against its own address, or what the configuration
//! says instead. A document may not send calls, and the credentials in them, somewhere else than where it
//! came from.

use http::Uri;
use serde_json::Value;

use super::document::short;
use super::style::literal;

/// Where an API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// Scheme and authority, with the path `/`.
    pub(super) origin: Uri,
    /// What stands before each path: empty, or beginning with `/` and ending without.
    pub(super) path: String,
}

impl Base {
    /// From an absolute URL.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let shown = || short(url.split(['?', '#']).next().unwrap_or_default());
        let bad = |why: &str| format!("{:?} is no address of an API: {why}", shown());
        if url.contains(['?', '#']) {
            return Err(bad("it has a query"));
        }
        let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(bad("its scheme is not http or https"));
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(bad("it holds a user"));
        }
        let origin: Uri = format!("{scheme}://{authority}/").parse().map_err(|_| bad("it is malformed"))?;
        if origin.host().is_none_or(str::is_empty) {
            return Err(bad("it has no host"));
        }
        let path = literal(&without_dots(path));
        Ok(Self { origin, path: path.trim_end_matches('/').into() })
    }

    /// As people read it.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.origin.to_string().trim_end_matches('/'), self.path)
    }
}

/// The base that a list of servers names, seen from the document's own address.
pub(super) fn of(servers: &Value, document: Option<&Uri>) -> Result<Base, String> {
    let server = &servers[0];
    let url = filled(server["url"].as_str().unwrap_or("/"), &server["variables"])?;
    let base = resolved(url.trim(), document)?;
    if let Some(document) = document
        && !same_origin(&base.origin, document)
    {
        return Err(format!(
            "its \"servers\" lead away from where it was read, to {0}; if calls may go there, write \"base_url\": {0:?}",
            base.shown()
        ));
    }
    Ok(base)
}

/// Fills in the variables of a server's address with their defaults.
fn filled(url: &str, variables: &Value) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| format!("{:?} is malformed", short(url)))?;
        let variable = &variables[name];
        let value = variable["default"].as_str().or_else(|| variable["enum"][0].as_str());
        let missing = || {
            format!("nothing says what {:?} stands for in {:?}; write \"base_url\"", short(name), short(url))
        };
        text.push_str(before);
        text.push_str(value.ok_or_else(missing)?);
        rest = after;
    }
    text.push_str(rest);
    Ok(text)
}

/// An address as it is meant in a document (RFC 3986, section 5.2, without queries).
fn resolved(url: &str, document: Option<&Uri>) -> Result<Base, String> {
    let scheme_end = url.find("://").unwrap_or(usize::MAX);
    if scheme_end < url.find(['/', '?', '#']).unwrap_or(usize::MAX) {
        return Base::parse(url);
    }
    let Some(document) = document else {
        return Err(format!(
            "its \"servers\" do not say where the API is ({:?}); write \"base_url\": \"https://host/path\"",
            short(url)
        ));
    };
    let scheme = document.scheme_str().unwrap_or("https");
    let authority = document.authority().map_or("", |authority| authority.as_str());
    if url.starts_with("//") {
        return Base::parse(&format!("{scheme}:{url}"));
    }
    let path = match url {
        "" => "/".to_owned(),
        _ if url.starts_with('/') => url.to_owned(),
        _ => format!("{}/{url}", document.path().rsplit_once('/').map_or("", |(folder, _)| folder)),
    };
    Base::parse(&format!("{scheme}://{authority}{path}"))
}

/// A path without `.` and `..`, which cannot lead above its root.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Whether two addresses have one scheme, host and port.
pub(super) fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port =
        |uri: &Uri| uri.port_u16().or(if uri.scheme_str() == Some("https") { Some(443) } else { Some(80) });
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    a.scheme_str() == b.scheme_str() && host(a) == host(b) && port(a) == port(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_are_seen_from_the_document() {
        let document: Uri = "https://Example.com/docs/v2/openapi.json".parse().unwrap();
        for (url, expected) in [
            ("/", "https://Example.com"),
            ("", "https://Example.com"),
            ("/api/v1/", "https://Example.com/api/v1"),
            ("api", "https://Example.com/docs/v2/api"),
            ("../api", "https://Example.com/docs/api"),
            ("../../../../api", "https://Example.com/api"),
            ("./", "https://Example.com/docs/v2"),
            ("https://example.com:443/x y", "https://example.com:443/x%20y"),
            ("//example.com/z", "https://example.com/z"),
            ("HTTPS://example.com/{v}", "https://example.com/v7"),
        ] {
            let servers = json!([{"url": url, "variables": {"v": {"default": "v7"}}}]);
            assert_eq!(of(&servers, Some(&document)).unwrap().shown(), expected, "{url}");
        }
        assert_eq!(of(&Value::Null, Some(&document)).unwrap().shown(), "https://Example.com");
        for (url, why) in [
            ("https://evil.example/v1", "\"base_url\": \"https://evil.example/v1\""),
            ("http://example.com/", "lead away"),
            ("https://example.com:8443/", "lead away"),
            ("//evil.example", "lead away"),
            ("https://me:pw@example.com/", "holds a user"),
            ("ftp://example.com/", "scheme"),
            ("https:///x", "malformed"),
            ("/x?y=1", "query"),
            ("https://{who}/", "nothing says what \"who\""),
            ("https://{who", "malformed"),
        ] {
            let error = of(&json!([{"url": url}]), Some(&document)).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn a_file_must_say_where_the_api_is() {
        assert!(of(&json!([{"url": "/v1"}]), None).unwrap_err().contains("write \"base_url\""));
        assert!(of(&Value::Null, None).unwrap_err().contains("write \"base_url\""));
        assert_eq!(
            of(&json!([{"url": "http://a:1/v1"}, {"url": "http://b"}]), None).unwrap().shown(),
            "http://a:1/v1"
        );
    }
}
