//! What people write who mean something else: keys and values of other programs' files, things that
//! come in a later version, slips of the finger. Only words; the rules are in `schema` and `check`.

/// What a definition is called in a message.
pub(crate) fn noun(definition: &str) -> &str {
    match definition {
        "HubDef" => "the configuration",
        "TenantDef" => "a tenant",
        "QuotasDef" => "quotas",
        "ServerDef" => "a server",
        "OverridesDef" => "overrides",
        "OverrideDef" => "an override",
        "ProfileDef" => "a profile",
        "OptionsDef" => "options",
        "OperationsDef" => "operations",
        "AuthDef" => "auth",
        "BasicDef" => "basic",
        "GatewayDef" => "gateway",
        "OrchestratorDef" => "orchestrator",
        "LoggingDef" => "logging",
        "TelemetryDef" => "telemetry",
        "AuditDef" | "TrailDef" => "audit",
        "CopiesDef" => "copies",
        "HookDef" => "webhook",
        "StoreDef" => "store",
        "AppsDef" => "apps",
        "StatusPageDef" => "status_page",
        "ServiceDef" => "a service",
        "DnsDef" => "dns",
        "GrpcDef" => "grpc",
        "TlsDef" => "tls",
        "WindowDef" => "maintenance",
        "ObjectiveDef" => "an objective",
        "AlertsDef" => "alerts",
        "RuleDef" => "a rule",
        "ServiceRule" => "service",
        "MetricRule" => "metric",
        "EventsRule" => "events",
        "AbsentRule" => "absent",
        "BurnRule" => "burn",
        "AnomalyRule" => "anomaly",
        "RouteDef" => "a route",
        "InhibitDef" => "an entry of inhibit",
        "EscalateDef" => "an entry of escalate",
        "ChannelDef" => "a channel",
        "SmtpDef" => "smtp",
        "TemplateDef" => "template",
        "PriorityDef" => "priority",
        "TasksDef" => "tasks",
        "ScheduleDef" => "a schedule",
        other => other,
    }
}

/// What to do about a key of some other program, or one in the wrong place.
pub(crate) fn foreign_key(definition: &str, key: &str) -> Option<&'static str> {
    Some(match (definition, key) {
        ("HubDef", "mcpServers" | "servers" | "mcp" | "context_servers") => {
            "servers belong to a tenant: \"tenants\": { \"default\": { \"servers\": { … } } }"
        }
        ("HubDef", "host" | "port") => "it belongs in \"gateway\": { … }",
        ("HubDef", "level" | "log_level" | "logLevel") => "it belongs in \"logging\": { \"level\": … }",
        ("AuditDef", "checkpoints" | "copies" | "every_records" | "every_seconds") => {
            "the trail is one for all tenants: it belongs in the \"audit\" beside \"tenants\""
        }
        ("HubDef", "database") => "Puerto's own data is at \"store\": { \"url\": \"sqlite://…\" }",
        ("HubDef", "endpoints" | "checks" | "monitors" | "watch") => "did you mean \"services\": [ … ]?",
        ("ServiceDef", "endpoint" | "address" | "target" | "host") => "did you mean \"url\"?",
        ("ServiceDef", "type" | "protocol" | "scheme" | "kind") => {
            "the scheme of \"url\" says how it is checked, as in \"tcp://host:port\""
        }
        ("ServiceDef", "expect" | "status" | "expected_status" | "success" | "asserts") => {
            "write \"conditions\": [\"[STATUS] == 200\"]"
        }
        ("ServiceDef", "every" | "period" | "frequency") => "did you mean \"interval\"?",
        ("ServiceDef", "retries" | "failure-threshold" | "threshold") => "did you mean \"failures\"?",
        ("ServiceDef", "success-threshold") => "did you mean \"successes\"?",
        ("ServiceDef", "depends_on" | "dependencies" | "parent") => "did you mean \"parents\": [\"…\"]?",
        ("ServiceDef", "slo" | "slos" | "objective") => {
            "did you mean \"objectives\": [{ \"target\": 99.9 }]?"
        }
        ("ServiceDef", "disabled") => "did you mean \"enabled\": false?",
        ("ServiceDef", "insecure" | "ca_file" | "server_name") => "it belongs in \"tls\": { … }",
        ("TlsDef", "verify" | "skip_verify" | "insecure_skip_verify") => "did you mean \"insecure\"?",
        ("DnsDef", "query-name" | "query") => "did you mean \"name\"?",
        ("DnsDef", "query-type" | "record") => "did you mean \"type\"?",
        ("WindowDef", "timezone" | "time_zone" | "tz") => "did you mean \"zone\"?",
        ("WindowDef", "every") => "did you mean \"days\"?",
        ("WindowDef", "end" | "to") => "did you mean \"until\", or \"duration\"?",
        ("HubDef", "schedules" | "cron" | "jobs") => "it belongs in \"tasks\": { \"schedules\": { … } }",
        ("TasksDef", "directory" | "path" | "folder") => "did you mean \"dir\"?",
        ("ScheduleDef", "tz" | "time_zone" | "zone") => "did you mean \"timezone\"?",
        ("ScheduleDef", "name" | "list" | "file" | "tasks") => "did you mean \"task\"?",
        ("ScheduleDef", "schedule" | "expression" | "when") => "did you mean \"cron\"?",
        ("TenantDef", "status" | "statusPage" | "status-page") => "did you mean \"status_page\": {}?",
        ("TenantDef", "mcpServers") => "did you mean \"servers\"?",
        ("OverrideDef", "disabled" | "enable" | "hidden") => "did you mean \"enabled\": false?",
        ("OverrideDef", "rename" | "alias") => "did you mean \"name\"?",
        ("OverrideDef", "annotate" | "hints") => "did you mean \"annotations\"?",
        ("ServerDef", "cmd" | "program" | "executable") => "did you mean \"command\"?",
        ("ServerDef", "serverUrl" | "httpUrl" | "endpoint" | "address") => "did you mean \"url\"?",
        ("ServerDef", "baseUrl") => "did you mean \"url\"? The place of an API is its \"base_url\"",
        ("ServerDef", "spec" | "document" | "openapi" | "spec_url" | "schema") => {
            "did you mean \"file\"? A document behind an address is \"url\" with \"transport\": \"openapi\""
        }
        ("ServerDef", "include" | "exclude" | "tags" | "filter" | "routes") => {
            "it belongs in \"operations\": { \"include\": [\"GET *\", \"tag:pets\"], \"exclude\": [] }"
        }
        ("OperationsDef", "tags" | "methods" | "paths" | "ids") => {
            "write patterns: \"include\": [\"GET /pets/*\", \"tag:pets\", \"pets.*\"]"
        }
        ("OperationsDef", "only" | "allow") => "did you mean \"include\"?",
        ("OperationsDef", "deny" | "except" | "without") => "did you mean \"exclude\"?",
        ("AuthDef", "token") => "did you mean \"bearer\"?",
        ("AuthDef", "username" | "password") => {
            "it belongs in \"basic\": { \"username\": …, \"password\": … }"
        }
        ("AuthDef", "api_key" | "apiKey" | "key" | "name" | "value") => {
            "write a key with its name: \"header\": { \"X-Api-Key\": \"${KEY}\" }, or \"query\": { … }"
        }
        ("BasicDef", "user") => "did you mean \"username\"?",
        ("ServerDef", "environment") => "did you mean \"env\"?",
        ("ServerDef", "workingDirectory" | "dir" | "directory") => "did you mean \"cwd\"?",
        ("ServerDef", "timeout" | "timeoutMs" | "requestTimeout") => {
            "did you mean \"call_timeout\", in seconds?"
        }
        ("ServerDef", "disabled") => "did you mean \"enabled\": false?",
        ("ServerDef", "roots" | "init" | "writable" | "root") => "it belongs in \"options\": { … }",
        ("ServerDef", "description") => "it belongs in \"metadata\": { … }",
        ("ServerDef", "token" | "bearer") => {
            "write it as a header: \"headers\": { \"Authorization\": \"Bearer ${TOKEN}\" }"
        }
        ("ServerDef", "autoApprove" | "alwaysAllow" | "gallery" | "trust") => {
            "what may run without asking is up to the client; leave it out"
        }
        ("OptionsDef", "root" | "path" | "paths" | "directory") => "did you mean \"roots\": [\"…\"]?",
        ("OptionsDef", "readonly" | "read_only" | "readOnly") => {
            "did you mean \"writable\": true, or nothing?"
        }
        ("StoreDef", "path" | "file") => "did you mean \"url\": \"sqlite://…\"?",
        _ => return None,
    })
}

/// What to say about a value that is not understood here.
pub(crate) fn foreign_value(definition: &str, value: &str) -> Option<&'static str> {
    Some(match (definition, value) {
        ("Transport", "ws") => "did you mean \"websocket\"?",
        ("Transport", "swagger" | "rest" | "api" | "oas") => "did you mean \"openapi\"?",
        ("Transport", "streamable-http" | "streamable_http" | "streamableHttp" | "https") => {
            "did you mean \"http\"?"
        }
        ("Transport", "local" | "process" | "command" | "pipe") => "did you mean \"stdio\"?",
        ("Sharing", "tenant" | "global" | "all") => "did you mean \"shared\"?",
        ("Sharing", "user" | "per-user") => "did you mean \"per_user\"?",
        ("Sharing", "session" | "per-session" | "client" | "per_client" | "none" | "private") => {
            "did you mean \"per_session\"?"
        }
        ("BuiltinName", "sqlite" | "database" | "sql") => "did you mean \"db\"?",
        ("BuiltinName", "files" | "filesystem" | "fs") => "did you mean \"file\"?",
        ("LogLevel", "WARNING" | "warning") => "did you mean \"WARN\"?",
        ("LogLevel", "CRITICAL" | "FATAL" | "critical" | "fatal") => "did you mean \"ERROR\"?",
        ("Capability", "apps" | "tasks" | "sampling" | "elicitation") => {
            "tools, resources and prompts can be chosen; the rest follows from them"
        }
        _ => return None,
    })
}

/// The known word that was probably meant.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace(['-', '_', ' '], "");
    let wanted = plain(given);
    // A third of the letters may be wrong: "comand" is near, "port" for "host" is not.
    let scored = known.into_iter().map(|word| (strsim::damerau_levenshtein(&wanted, &plain(word)), word));
    let (distance, word) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= wanted.chars().count().max(2) / 3).then_some(word)
}
