//! Which door a path leads to. Everything else is REST.

use puerto_mcp::hub::Hub;

/// A door of MCP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// Streamable HTTP.
    Streamable,
    /// The stream of HTTP+SSE.
    Sse,
    /// Where clients of HTTP+SSE post.
    Message,
    /// A WebSocket.
    WebSocket,
}

/// A door, and the endpoint behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entrance<'a> {
    /// The door.
    pub(crate) door: Door,
    /// The tenant; the caller's own where none is named.
    pub(crate) tenant: Option<&'a str>,
    /// The one server.
    pub(crate) server: Option<&'a str>,
}

impl<'a> Entrance<'a> {
    /// The entrance at a path, where there is one. A server that is called `sse` or `message` has its own
    /// endpoint and hides the door of that name of its tenant.
    pub(crate) fn find(hub: &Hub, path: &'a str) -> Option<Self> {
        Self::at(path, |tenant, server| hub.endpoint(Some(tenant), Some(server), None).is_ok())
    }

    fn at(path: &'a str, is_server: impl Fn(&str, &str) -> bool) -> Option<Self> {
        let (door, rest) = match path {
            "/sse" => (Door::Sse, ""),
            "/message" => (Door::Message, ""),
            _ => match path.strip_prefix("/ws") {
                Some(rest) => (Door::WebSocket, rest.strip_prefix("/mcp")?),
                None => (Door::Streamable, path.strip_prefix("/mcp")?),
            },
        };
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let mut parts = rest.split('/').filter(|part| !part.is_empty());
        let (tenant, server, more, end) = (parts.next(), parts.next(), parts.next(), parts.next());
        let named = |part: Option<&str>| match part {
            Some("sse") => Some(Door::Sse),
            Some("message") => Some(Door::Message),
            _ => None,
        };
        match (door, server, more, end) {
            (Door::Streamable, Some(last), None, None)
                if named(Some(last)).is_some() && !is_server(tenant.unwrap_or_default(), last) =>
            {
                named(server).map(|door| Self { door, tenant, server: None })
            }
            (_, _, None, None) => Some(Self { door, tenant, server }),
            (Door::Streamable, _, more, None) => named(more).map(|door| Self { door, tenant, server }),
            _ => None,
        }
    }
}

/// The app and the tenant of an app's connection.
pub(crate) fn app(path: &str) -> Option<(&str, &str)> {
    let (app, tenant) = path.strip_prefix("/ws/app/")?.split_once('/')?;
    let tenant = tenant.strip_suffix('/').unwrap_or(tenant);
    (!app.is_empty() && !tenant.is_empty() && !tenant.contains('/')).then_some((app, tenant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Option<(Door, Option<&str>, Option<&str>)> {
        let entrance = Entrance::at(path, |tenant, server| (tenant, server) == ("odd", "sse"))?;
        Some((entrance.door, entrance.tenant, entrance.server))
    }

    #[test]
    fn paths_lead_to_their_doors() {
        use Door::{Message, Sse, Streamable, WebSocket};
        assert_eq!(at("/mcp"), Some((Streamable, None, None)));
        assert_eq!(at("/mcp/acme/"), Some((Streamable, Some("acme"), None)));
        assert_eq!(at("/mcp/acme/git"), Some((Streamable, Some("acme"), Some("git"))));
        assert_eq!(at("/sse"), Some((Sse, None, None)));
        assert_eq!(at("/message"), Some((Message, None, None)));
        assert_eq!(at("/mcp/acme/sse"), Some((Sse, Some("acme"), None)));
        assert_eq!(at("/mcp/acme/git/sse"), Some((Sse, Some("acme"), Some("git"))));
        assert_eq!(at("/mcp/acme/git/message"), Some((Message, Some("acme"), Some("git"))));
        assert_eq!(at("/mcp/odd/sse"), Some((Streamable, Some("odd"), Some("sse"))));
        assert_eq!(at("/mcp/odd/sse/sse"), Some((Sse, Some("odd"), Some("sse"))));
        assert_eq!(at("/ws/mcp"), Some((WebSocket, None, None)));
        assert_eq!(at("/ws/mcp/acme/git"), Some((WebSocket, Some("acme"), Some("git"))));
    }

    #[test]
    fn connections_of_apps_name_app_and_tenant() {
        assert_eq!(app("/ws/app/hello/acme"), Some(("hello", "acme")));
        for path in
            ["/ws/app", "/ws/app/hello", "/ws/app/hello/", "/ws/app//acme", "/ws/app/a/b/c", "/ws/mcp/a/b"]
        {
            assert_eq!(app(path), None, "{path}");
        }
    }

    #[test]
    fn other_paths_lead_elsewhere() {
        for path in ["/", "/mcpx", "/health", "/ws", "/ws/app/a/b", "/mcp/a/b/c", "/mcp/a/b/sse/c", "/sse/x"]
        {
            assert_eq!(at(path), None, "{path}");
        }
    }
}
