"""The Python SDK 2.x as a client, of either era; `auto` probes with `server/discover`."""

from __future__ import annotations

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

import peer

MODES = {"auto": "auto", "legacy": "legacy", "modern": "2026-07-28"}


def transport(args):
    if args.transport == "sse":
        return sse_client(args.url, headers=args.headers)
    if args.url:
        return streamable_http_client(args.url, http_client=httpx2.AsyncClient(headers=args.headers, timeout=60))
    server = StdioServerParameters(command=args.stdio[0], args=args.stdio[1:])
    return stdio_client(server, errlog=open("/dev/null", "w"))


async def run(args, report):
    questions: list[str] = []

    async def elicit(_, params):
        questions.append("elicitation/create")
        content = peer.form(params.requested_schema) if hasattr(params, "requested_schema") else None
        return types.ElicitResult(action="accept", content=content)

    async def sample(_, params):
        questions.append("sampling/createMessage")
        return types.CreateMessageResult.model_validate(peer.SAMPLE)

    async def roots(_):
        questions.append("roots/list")
        return types.ListRootsResult.model_validate(peer.ROOTS)

    asked = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    options = asked if args.answer else {}
    async with Client(transport(args), mode=MODES[args.era], read_timeout_seconds=60, **options) as client:
        if args.era == "modern":
            await peer.pin_modern(client.session)
        can = client.session.server_capabilities
        lists = {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}
        if can.tools:
            found = await peer.every(lambda cursor: client.list_tools(cursor=cursor), "tools")
            lists["tools"] = [one.name for one in found]
        if can.resources:
            found = await peer.every(lambda cursor: client.list_resources(cursor=cursor), "resources")
            lists["resources"] = [str(one.uri) for one in found]
            found = await peer.every(
                lambda cursor: client.list_resource_templates(cursor=cursor), "resource_templates"
            )
            lists["resourceTemplates"] = [one.uri_template for one in found]
        if can.prompts:
            found = await peer.every(lambda cursor: client.list_prompts(cursor=cursor), "prompts")
            lists["prompts"] = [one.name for one in found]
        calls = await peer.call_all(
            args, lambda name, given, progress: client.call_tool(name, given, progress_callback=progress)
        )
        report(
            {
                "protocolVersion": client.protocol_version,
                "serverInfo": peer.plain(client.server_info),
                **lists,
                "calls": calls,
                **({"questions": questions} if args.answer else {}),
            }
        )


peer.main("py2", run)
