//! The one table of error codes: name, HTTP status, title, hint. HTTP, docs and console read it.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $status:literal, $title:literal, $hint:literal;)*) => {
        /// What went wrong, as a closed set that callers may branch on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $title] $variant),* }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Code] = &[$(Code::$variant),*];

            /// The stable name, as in `problem+json` and in records.
            pub const fn name(self) -> &'static str {
                match self { $(Code::$variant => $name),* }
            }

            /// The HTTP status that REST answers with. MCP numbers depend on the era and live in `puerto-mcp`.
            pub const fn http_status(self) -> u16 {
                match self { $(Code::$variant => $status),* }
            }

            /// A short title, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Code::$variant => $title),* }
            }

            /// What the caller can do about it.
            pub const fn hint(self) -> &'static str {
                match self { $(Code::$variant => $hint),* }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request", 400, "The request is malformed", "Correct the request as the detail says.";
    InvalidArguments = "invalid_arguments", 400, "The arguments do not fit", "Compare the arguments with the tool's input schema.";
    InvalidConfig = "invalid_config", 400, "The configuration is not valid", "Run `puerto check` and mend the line it names.";
    Forbidden = "forbidden", 403, "Not allowed", "Ask the administrator of the tenant.";
    OriginRefused = "origin_refused", 403, "Origin or Host not allowed", "Call from the same host, or add the origin to gateway.allowed_origins.";
    NotFound = "not_found", 404, "Not found", "List what exists first; names are case-sensitive.";
    MethodNotAllowed = "method_not_allowed", 405, "Method not allowed", "See the Allow header.";
    SessionNotFound = "session_not_found", 404, "Unknown session", "Initialize again to get a new session.";
    Conflict = "conflict", 409, "Conflict with the present state", "Read the present state and decide again.";
    TooLarge = "too_large", 413, "Too large", "Send less, or raise the limit named in the detail.";
    QuotaExceeded = "quota_exceeded", 429, "Quota exceeded", "Wait as long as the retry hint says, or raise the tenant's quota.";
    Busy = "busy", 503, "Too much at once", "Try again shortly.";
    Cancelled = "cancelled", 499, "The caller cancelled", "Nothing to do.";
    Internal = "internal", 500, "A fault in Puerto", "Report it with the request id.";
    UpstreamDown = "upstream_down", 502, "The server is not reachable", "See `puerto servers` and `puerto logs`.";
    UpstreamProtocol = "upstream_protocol", 502, "The server answered something that is not MCP", "See `puerto logs`; the server may need an update.";
    UpstreamError = "upstream_error", 502, "The server answered with an error", "See the detail.";
    UpstreamTimeout = "upstream_timeout", 504, "The server did not answer in time", "Try again, or raise the server's call_timeout.";
    Stopping = "stopping", 503, "Puerto is stopping", "Try again when it is back.";
    Unavailable = "unavailable", 503, "Part of Puerto is not available", "See /health.";
}
