"""FastMCP 4.x as a client (on the Python SDK 2.x), of either era."""

from __future__ import annotations

from pathlib import Path

import mcp_types as types
from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

import peer

MODES = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28"}


async def run(args, report):
    questions: list[str] = []

    async def elicit(message, kind, params, context):
        questions.append("elicitation/create")
        content = peer.form(params.requested_schema) if hasattr(params, "requested_schema") else None
        return types.ElicitResult(action="accept", content=content)

    async def sample(messages, params, context):
        questions.append("sampling/createMessage")
        return types.CreateMessageResult.model_validate(peer.SAMPLE)

    async def roots(context):
        questions.append("roots/list")
        return [types.Root.model_validate(one) for one in peer.ROOTS["roots"]]

    if args.url:
        transport = StreamableHttpTransport(args.url, headers=args.headers)
    else:
        transport = StdioTransport(
            command=args.stdio[0], args=args.stdio[1:], keep_alive=False, log_file=Path("/dev/null")
        )
    asked = {"elicitation_handler": elicit, "sampling_handler": sample, "roots": roots}
    options = asked if args.answer else {}
    async with Client(transport, mode=MODES[args.era], timeout=60, **options) as client:
        if args.era == "modern":
            await peer.pin_modern(client.session)
        can = client.session.server_capabilities
        lists = {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}
        if can.tools:
            lists["tools"] = [one.name for one in await client.list_tools()]
        if can.resources:
            lists["resources"] = [str(one.uri) for one in await client.list_resources()]
            lists["resourceTemplates"] = [one.uri_template for one in await client.list_resource_templates()]
        if can.prompts:
            lists["prompts"] = [one.name for one in await client.list_prompts()]
        calls = await peer.call_all(
            args, lambda name, given, progress: client.call_tool_mcp(name, given, progress_handler=progress)
        )
        report(
            {
                "protocolVersion": client.session.protocol_version,
                "serverInfo": peer.plain(client.session.server_info),
                **lists,
                "calls": calls,
                **({"questions": questions} if args.answer else {}),
            }
        )


peer.main("fastmcp", run)
