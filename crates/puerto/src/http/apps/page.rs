//! What a page gets on its way to the browser: its configuration, a base for its relative links, and the policy
//! that lets it run its own scripts and reach this hub, and nothing else.

use std::borrow::Cow;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::Origin;

/// The text that the configuration takes the place of.
const PLACE: &str = "window.__MCP_CONFIG__ = {};";

/// What a page must know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Configuration {
    app_id: String,
    tenant_id: String,
    ws_url: String,
    api_url: String,
}

impl Configuration {
    pub(super) fn new(app: &str, tenant: &str, origin: &Origin) -> Self {
        Self {
            app_id: app.into(),
            tenant_id: tenant.into(),
            ws_url: format!("{}/ws/app/{app}/{tenant}", origin.url("ws")),
            api_url: format!("{}/api", origin.url("http")),
        }
    }

    fn script(&self) -> String {
        // Of texts alone, so this cannot fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        let safe = json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026");
        format!("window.__MCP_CONFIG__ = {safe};")
    }
}

/// The page with its configuration, and with a base where its address does not end in a slash.
pub(super) fn with_configuration(page: &str, configuration: &Configuration, base: Option<&str>) -> String {
    let script = configuration.script();
    let mut page = if page.contains(PLACE) {
        page.replacen(PLACE, &script, 1)
    } else {
        let script = format!("<script>{script}</script>\n");
        let at = lower(page).rfind("</body>").unwrap_or(page.len());
        format!("{}{script}{}", &page[..at], &page[at..])
    };
    if let Some(app) = base {
        let text = lower(&page);
        let end_of = |tag| {
            element(&text, tag, 0).map(|start| text[start..].find('>').map_or(start, |at| start + at + 1))
        };
        if element(&text, "<base", 0).is_none() {
            let at = end_of("<head").or_else(|| end_of("<!doctype")).unwrap_or(0);
            page.insert_str(at, &format!("<base href=\"/apps/{app}/\">"));
        }
    }
    page
}

/// The policy for a page, or for another file where its text is left out.
pub(super) fn policy(origin: &Origin, page: &str) -> String {
    let mut scripts = String::new();
    for script in inline_scripts(page) {
        let hash = STANDARD.encode(Sha256::digest(script.as_bytes()));
        // Writing into a text cannot fail.
        let _ = write!(scripts, " 'sha256-{hash}'");
    }
    let socket = origin.url("ws");
    format!(
        "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'{scripts}; style-src 'self' 'unsafe-inline'; \
         img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' {socket}; object-src 'none'; \
         base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
    )
}

/// Texts of the scripts that stand in a page, as browsers read and hash them.
fn inline_scripts(page: &str) -> Vec<Cow<'_, str>> {
    let text = lower(page);
    let mut scripts = Vec::new();
    let mut from = 0;
    while let Some(start) = element(&text, "<script", from) {
        let Some(opened) = text[start..].find('>').map(|at| start + at + 1) else { break };
        let Some(closed) = text[opened..].find("</script").map(|at| opened + at) else { break };
        if closed > opened {
            // Browsers read every line end as \n.
            let script = &page[opened..closed];
            scripts.push(if script.contains('\r') {
                script.replace("\r\n", "\n").replace('\r', "\n").into()
            } else {
                script.into()
            });
        }
        from = closed;
    }
    scripts
}

/// Where an element opens; `<header` is no `<head`.
fn element(text: &str, tag: &str, from: usize) -> Option<usize> {
    let ends =
        |at: usize| !text[at + tag.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '-');
    text[from..].match_indices(tag).map(|(at, _)| from + at).find(|at| ends(*at))
}

/// In lower case, with every character where it was.
fn lower(page: &str) -> String {
    page.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(secure: bool) -> Origin {
        Origin { host: "localhost:8080".into(), secure }
    }

    fn shown(page: &str) -> String {
        with_configuration(page, &Configuration::new("hello", "acme", &origin(false)), None)
    }

    const SET: &str = r#"window.__MCP_CONFIG__ = {"appId":"hello","tenantId":"acme","wsUrl":"ws://localhost:8080/ws/app/hello/acme","apiUrl":"http://localhost:8080/api"};"#;

    #[test]
    fn the_configuration_takes_its_place_or_goes_before_the_end() {
        assert_eq!(shown("<script>window.__MCP_CONFIG__ = {};</script>"), format!("<script>{SET}</script>"));
        assert_eq!(shown("<p>a</BODY></html>"), format!("<p>a<script>{SET}</script>\n</BODY></html>"));
        assert_eq!(shown("<p>a"), format!("<p>a<script>{SET}</script>\n"));
    }

    #[test]
    fn nothing_in_it_ends_a_script() {
        let configuration = Configuration::new("</script><b>&", "t", &origin(true));
        let script = configuration.script();
        assert!(!script.contains(['<', '>', '&']) && script.contains("wss://"), "{script}");
    }

    #[test]
    fn relative_links_get_a_base_where_they_need_one() {
        let based =
            |page| with_configuration(page, &Configuration::new("hello", "t", &origin(false)), Some("hello"));
        let base = r#"<base href="/apps/hello/">"#;
        assert!(based("<!doctype html><title>x").starts_with(&format!("<!doctype html>{base}<title>")));
        assert!(based("<header></header><head lang=x><i>").contains(&format!("<head lang=x>{base}<i>")));
        assert!(!based("<head><base href='/x/'>").contains(base));
        assert!(based("a").starts_with(base));
    }

    #[test]
    fn scripts_of_the_page_are_allowed_by_their_hash() {
        let scripts =
            inline_scripts("<SCRIPT src=a></SCRIPT><script type=module>a\r\nb</script ><scripty>c</script>");
        assert_eq!(scripts, ["a\nb"]);
        // As `openssl dgst -sha256 -binary | base64` says of "a".
        let policy = policy(&origin(false), "<script>a</script>");
        assert!(policy.contains("'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"), "{policy}");
        assert!(policy.contains("connect-src 'self' ws://localhost:8080;"), "{policy}");
    }
}
