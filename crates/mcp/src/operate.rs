//! Operations that REST, the command line and task lists share with the doors: each leads to the same call.

use std::sync::Arc;

use bytes::Bytes;
use puerto_core::{Code, Ctx, Error, Origin, Result, ServerName};
use serde_json::value::RawValue;

use crate::call::{self, Client, Out};
use crate::catalog::Scope;
use crate::frame::Frame;
use crate::hub::Endpoint;
use crate::offer::ListKind;
use crate::route::Routed;
use crate::tenant::Tenant;
use crate::upstream::link::{CLIENT_INFO, modern_meta};

/// Calls a tool and waits for its result, as the server wrote it. A tool that says that it failed
/// (`isError`) is a result; an error is a call that got none.
pub async fn tool_call(
    tenant: &Arc<Tenant>,
    ctx: Ctx,
    server: &ServerName,
    tool: &str,
    arguments: &RawValue,
) -> Result<Box<RawValue>> {
    let upstream = tenant.upstream(server)?;
    if !upstream.def.enabled {
        return Err(Error::not_found("server", server.as_str()));
    }
    if !arguments.get().trim_start().starts_with('{') {
        return Err(Error::caller(Code::InvalidArguments, "the arguments must be a JSON object"));
    }
    let endpoint = Endpoint { tenant: tenant.clone(), scope: Scope::server(server) };
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{},"arguments":{},"_meta":{{{}}}}}}}"#,
        serde_json::Value::from(tool),
        arguments.get(),
        modern_meta("{}", CLIENT_INFO)
    );
    let bad = |fault| Error::caller(Code::BadRequest, "the arguments are malformed").inside(fault);
    let frame = Frame::parse(Bytes::from(text)).map_err(bad)?;
    let begun = call::begin(&endpoint, ctx, Client::Modern, Routed::ToolsCall, frame, None);
    let refused = |refusal: crate::wire::Refusal| match refusal.origin {
        Origin::Hub => Error::hub(refusal.code, refusal.message),
        Origin::Caller | Origin::Upstream => {
            Error::caller(refusal.code, refusal.message).retry(match refusal.retry_after {
                Some(seconds) => puerto_core::Retry::After(std::time::Duration::from_secs(seconds)),
                None => puerto_core::Retry::Never,
            })
        }
    };
    let mut call = begun.map_err(refused)?;
    let text = loop {
        if let Out::Last { text, .. } = call.next().await {
            break text;
        }
    };
    if let Some(error) = call.take_error() {
        return Err(error);
    }
    result(text.whole()).map_err(|error| {
        // "Invalid params" is also what servers say of a tool that they do not have.
        let listed = endpoint.catalog().item(server, ListKind::Tools, tool).is_some();
        match error.code() {
            Code::InvalidArguments if !listed => Error::caller(Code::NotFound, error.public().to_owned()),
            _ => error,
        }
    })
}

fn result(text: Bytes) -> Result<Box<RawValue>> {
    let wrong = |cause: serde_json::Error| {
        Error::upstream(Code::UpstreamProtocol, "the server's answer is not valid JSON").inside(cause)
    };
    let fault =
        |fault| Error::upstream(Code::UpstreamProtocol, "the server's answer is malformed").inside(fault);
    let frame = Frame::parse(text).map_err(fault)?;
    if frame.error.is_some() {
        let error: serde_json::Value = serde_json::from_slice(&frame.raw(frame.error)).map_err(wrong)?;
        let message = error["message"].as_str().unwrap_or("without a message").to_owned();
        // A server's own "unknown tool" or "invalid params" is the caller's to mend.
        return Err(match error["code"].as_i64() {
            Some(code) if code == i64::from(crate::wire::INVALID_PARAMS) => {
                Error::caller(Code::InvalidArguments, message)
            }
            Some(code) if code == i64::from(crate::wire::METHOD_NOT_FOUND) => {
                Error::caller(Code::NotFound, message)
            }
            _ => Error::upstream(Code::UpstreamError, message),
        });
    }
    serde_json::from_slice(&frame.raw(frame.result.whole)).map_err(wrong)
}
