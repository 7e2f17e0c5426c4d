"""The Python SDK 1.x as a client: legacy only, it always shakes hands with `initialize`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import peer

TIMEOUT = timedelta(seconds=60)


@asynccontextmanager
async def streams(args):
    if args.transport == "sse":
        async with sse_client(args.url, headers=args.headers) as (read, write):
            yield read, write
    elif args.url:
        async with httpx.AsyncClient(headers=args.headers, timeout=60, follow_redirects=True) as http:
            async with streamable_http_client(args.url, http_client=http) as (read, write, _):
                yield read, write
    else:
        with open("/dev/null", "w") as nowhere:
            server = StdioServerParameters(command=args.stdio[0], args=args.stdio[1:])
            async with stdio_client(server, errlog=nowhere) as (read, write):
                yield read, write


async def run(args, report):
    if args.era == "modern":
        raise SystemExit("SDK 1.x speaks no modern era")
    questions: list[str] = []

    async def elicit(_, params):
        questions.append("elicitation/create")
        content = peer.form(params.requestedSchema) if params.mode == "form" else None
        return types.ElicitResult(action="accept", content=content)

    async def sample(_, params):
        questions.append("sampling/createMessage")
        return types.CreateMessageResult.model_validate(peer.SAMPLE)

    async def roots(_):
        questions.append("roots/list")
        return types.ListRootsResult.model_validate(peer.ROOTS)

    asked = {"elicitation_callback": elicit, "sampling_callback": sample, "list_roots_callback": roots}
    async with streams(args) as (read, write):
        options = asked if args.answer else {}
        async with ClientSession(read, write, read_timeout_seconds=TIMEOUT, **options) as session:
            started = await session.initialize()
            can = started.capabilities

            def page(method):
                return lambda cursor: method(params=types.PaginatedRequestParams(cursor=cursor))

            lists = {"tools": [], "resources": [], "resourceTemplates": [], "prompts": []}
            if can.tools:
                lists["tools"] = [one.name for one in await peer.every(page(session.list_tools), "tools")]
            if can.resources:
                found = await peer.every(page(session.list_resources), "resources")
                lists["resources"] = [str(one.uri) for one in found]
                found = await peer.every(page(session.list_resource_templates), "resourceTemplates")
                lists["resourceTemplates"] = [one.uriTemplate for one in found]
            if can.prompts:
                lists["prompts"] = [one.name for one in await peer.every(page(session.list_prompts), "prompts")]
            calls = await peer.call_all(
                args,
                lambda name, given, progress: session.call_tool(name, given, progress_callback=progress),
            )
            report(
                {
                    "protocolVersion": started.protocolVersion,
                    "serverInfo": peer.plain(started.serverInfo),
                    **lists,
                    "calls": calls,
                    **({"questions": questions} if args.answer else {}),
                }
            )


peer.main("py1", run)
