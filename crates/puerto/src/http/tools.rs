//! Tools over REST: lists with what they cost, and calls.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State as Shared};
use bytes::Bytes;
use http::HeaderMap;
use puerto_core::record::Kind;
use puerto_core::{Code, Error, ProfileName, ToolName};
use puerto_mcp::catalog::{Scope, Tool, Withheld};
use puerto_mcp::door::http::traceparent;
use puerto_mcp::offer::ListKind;
use puerto_mcp::tenant::Tenant;
use puerto_mcp::{meter, operate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::rest::{Answer, Api, Asked};

/// A list of tools.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tools {
    tools: Vec<ToolView>,
    total: usize,
    /// What lists cost a model, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
}

/// A tool.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ToolView {
    /// `server.tool`, as its server calls it.
    name: String,
    server: String,
    tenant: String,
    /// Its name on the tenant's MCP endpoint; none where it is switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    listed_as: Option<String>,
    /// Whether callers have it.
    enabled: bool,
    /// Tokens that it takes in a model's context, estimated, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    /// Its definition as its server wrote it, with the tenant's overrides.
    #[schemars(with = "serde_json::Value")]
    definition: Box<RawValue>,
}

/// What lists of tools cost a model, in tokens: names, descriptions and input schemas, estimated.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Cost {
    /// All tools of this answer that callers have.
    tokens: usize,
    /// Those of each server, by `tenant:name`.
    servers: BTreeMap<String, usize>,
    /// What the endpoint of each profile lists, by `tenant:profile`.
    profiles: BTreeMap<String, usize>,
}

/// The answer of a tool call.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Called {
    /// `server.tool`.
    tool: String,
    /// The result as its server wrote it.
    #[schemars(with = "serde_json::Value")]
    result: Box<RawValue>,
}

/// Which tools, and what of them.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    tenant: Option<String>,
    profile: Option<String>,
    /// `1`: also those that are switched off.
    all: Option<u8>,
    /// `1`: with what they cost.
    cost: Option<u8>,
}

/// Which tenant a call is made in.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InTenant {
    tenant: Option<String>,
}

/// `GET /api/tenants/{tenant}/tools`.
pub(super) async fn of_tenant(
    Shared(api): Shared<Api>,
    Path(id): Path<String>,
    Asked(which): Asked<Which>,
) -> Answer<Tools> {
    Ok(Json(list(&api, &Which { tenant: Some(id), ..which }).await?))
}

/// `GET /api/tools`.
pub(super) async fn all(Shared(api): Shared<Api>, Asked(which): Asked<Which>) -> Answer<Tools> {
    Ok(Json(list(&api, &which).await?))
}

async fn list(api: &Api, which: &Which) -> Result<Tools, Error> {
    let ids: Vec<_> = match &which.tenant {
        Some(id) => vec![id.clone()],
        None => api.hub.tenants().keys().map(ToString::to_string).collect(),
    };
    let mut tools = Vec::new();
    let mut profiles = BTreeMap::new();
    for id in ids {
        let (tenant, ctx) = api.find(&id)?;
        let profile = which.profile.as_deref().map(|given| profile(&tenant, given)).transpose();
        // Where all tenants are asked, those without the profile have nothing to show.
        let profile = match profile {
            Err(_) if which.tenant.is_none() => continue,
            other => other?,
        };
        let listed = ctx.run(Kind::Control("tool.list"), async {
            Ok(tools_of(&tenant, profile.as_ref(), which.all == Some(1)).await)
        });
        tools.extend(listed.await?);
        if which.cost == Some(1) {
            profiles.extend(cost_of_profiles(&tenant));
        }
    }
    if let (Some(given), true, None) = (&which.profile, tools.is_empty(), &which.tenant) {
        let known = api.hub.tenants().values().any(|tenant| profile(tenant, given).is_ok());
        known.then_some(()).ok_or_else(|| Error::not_found("profile", given))?;
    }
    let cost = (which.cost == Some(1)).then(|| cost(&mut tools, profiles));
    Ok(Tools { total: tools.len(), tools, cost })
}

fn profile(tenant: &Tenant, given: &str) -> Result<ProfileName, Error> {
    let known = tenant.view.def.profiles.get_key_value(given);
    known.map(|(name, _)| name.clone()).ok_or_else(|| Error::not_found("profile", given))
}

/// The tools of a tenant or of a profile of it, and on demand those that are switched off.
pub(super) async fn tools_of(tenant: &Tenant, profile: Option<&ProfileName>, all: bool) -> Vec<ToolView> {
    let catalog = tenant.catalog(&Scope::default()).await;
    let mut tools = catalog.tools(profile);
    if all && profile.is_none() {
        tools.extend(catalog.tools_off());
        tools.sort_by(|a, b| (&a.target.server, &a.target.key).cmp(&(&b.target.server, &b.target.key)));
    }
    tools.into_iter().filter_map(|tool| view(tenant, tool)).collect()
}

fn view(tenant: &Tenant, tool: Tool) -> Option<ToolView> {
    let definition = serde_json::from_slice(&tool.definition).ok()?;
    let name = ToolName { server: tool.target.server, tool: tool.target.key };
    Some(ToolView {
        name: name.to_string(),
        server: name.server.to_string(),
        tenant: tenant.view.id.to_string(),
        enabled: tool.wire.is_some(),
        listed_as: tool.wire,
        tokens: None,
        definition,
    })
}

fn cost(tools: &mut [ToolView], profiles: BTreeMap<String, usize>) -> Cost {
    let mut cost = Cost { profiles, ..Cost::default() };
    for tool in tools {
        let name = tool.listed_as.as_deref().unwrap_or(&tool.name);
        let tokens = meter::tool(name, tool.definition.get().as_bytes());
        tool.tokens = Some(tokens);
        if tool.enabled {
            cost.tokens += tokens;
            *cost.servers.entry(format!("{}:{}", tool.tenant, tool.server)).or_default() += tokens;
        }
    }
    cost
}

fn cost_of_profiles(tenant: &Tenant) -> Vec<(String, usize)> {
    let catalog = tenant.keeper.catalog();
    let names = tenant.view.def.profiles.keys();
    let cost = |name: &ProfileName| {
        let scope = Scope { server: None, profile: Some(name.clone()) };
        let list = catalog.listing(&scope)?.list(ListKind::Tools);
        let tokens = list.items().map(|(name, raw)| meter::tool(name, &raw)).sum();
        Some((format!("{}:{name}", tenant.view.id), tokens))
    };
    names.filter_map(cost).collect()
}

/// `POST /api/tools/{name}/call`.
pub(super) async fn call(
    Shared(api): Shared<Api>,
    Path(name): Path<String>,
    Asked(query): Asked<InTenant>,
    headers: HeaderMap,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Answer<Called> {
    let body =
        body.map_err(|_| Error::caller(Code::TooLarge, "the body is larger than gateway.max_body_bytes"))?;
    let (tenant, mut ctx) = api.find_or_default(query.tenant.as_deref())?;
    ctx.follow(traceparent(&headers));
    let ToolName { server, tool } = tool_named(&tenant, &name)?;
    let text = if body.trim_ascii().is_empty() { Bytes::from_static(b"{}") } else { body };
    let malformed = |cause: serde_json::Error| {
        Error::caller(Code::BadRequest, format!("the body must be the arguments as a JSON object: {cause}"))
    };
    let arguments: &RawValue = serde_json::from_slice(&text).map_err(malformed)?;
    let result = operate::tool_call(&tenant, ctx, &server, &tool, arguments).await?;
    let name = ToolName { server, tool };
    Ok(Json(Called { tool: name.to_string(), result }))
}

/// A tool by its name, `server.tool` or as on the wire.
pub(super) fn tool_named(tenant: &Tenant, name: &str) -> Result<ToolName, Error> {
    let found = tenant.keeper.catalog().find(&Scope::default(), ListKind::Tools, &name.into());
    match found {
        Ok(found) => Ok(ToolName { server: found.target.server, tool: found.target.key }),
        Err(Withheld::Off) => {
            let text = format!("the tool {name:?} is switched off (overrides of the tenant)");
            Err(Error::caller(Code::NotFound, text))
        }
        Err(_) => {
            let text = format!("no tool named {name:?}; a tool's name is \"server.tool\"");
            let parsed = ToolName::parse(name).filter(|parsed| tenant.upstreams.contains_key(&parsed.server));
            parsed.ok_or_else(|| Error::caller(Code::NotFound, text))
        }
    }
}
