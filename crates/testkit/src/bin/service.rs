//! A server with the tools of one service out of a file of many, written on rmcp: `service FILE NAME`. Every tool
//! answers its own name and what it was given. Nothing here knows Puerto.

use std::collections::BTreeMap;
use std::sync::Arc;

use rmcp::ServiceExt as _;
use rmcp::handler::server::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, Implementation, ListToolsResult,
    PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Parameters of a tool, `name?` where one may be left out, each with its type and what it is.
type Parameters = BTreeMap<String, (String, String)>;

/// A service: what it is, and its tools as name, description and parameters.
#[derive(Deserialize)]
struct Described {
    about: String,
    tools: Vec<(String, String, Parameters)>,
}

struct Service {
    name: String,
    about: String,
    tools: Vec<Tool>,
}

fn tool(name: &str, description: &str, parameters: &Parameters) -> Tool {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (given, (kind, about)) in parameters {
        let name = given.trim_end_matches('?');
        let mut schema = json!({"type": kind});
        if !about.is_empty() {
            schema["description"] = about.as_str().into();
        }
        properties.insert(name.into(), schema);
        if name == given {
            required.push(name);
        }
    }
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let schema = schema.as_object().cloned().unwrap_or_default();
    Tool::new(name.to_owned(), description.to_owned(), Arc::new(schema))
}

impl ServerHandler for Service {
    fn get_info(&self) -> ServerConfig {
        let mut can = ServerCapabilities::default();
        can.tools = Some(Default::default());
        ServerConfig::new(can)
            .with_server_info(Implementation::new(self.name.clone(), env!("CARGO_PKG_VERSION")))
            .with_instructions(self.about.clone())
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, rmcp::ErrorData> {
        Ok(ListToolsResult::with_all_items(self.tools.clone()))
    }

    async fn call_tool(
        &self,
        params: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, rmcp::ErrorData> {
        let said = json!({"service": self.name, "tool": params.name, "arguments": params.arguments});
        let answer = json!({"content": [{"type": "text", "text": said.to_string()}]});
        let result = serde_json::from_value::<CallToolResult>(answer);
        result.map(Into::into).map_err(|e| rmcp::ErrorData::internal_error(e.to_string(), None))
    }
}

async fn run(file: &str, name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let all: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let found = Described::deserialize(all.get(name).ok_or("the file has no such service")?)?;
    let tools = found.tools.iter().map(|(name, about, parameters)| tool(name, about, parameters)).collect();
    let service = Service { name: name.into(), about: found.about, tools };
    service.serve(rmcp::transport::stdio()).await?.waiting().await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [file, name] => run(file, name).await,
        _ => Err("usage: service FILE NAME".into()),
    }
}
