"""What the Python clients share: arguments, fixed answers, and the one JSON document they print."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any, Awaitable, Callable

PAGES = 100


def parse() -> argparse.Namespace:
    """The command line; all clients take the same."""
    parser = argparse.ArgumentParser()
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", help="where the server is")
    where.add_argument("--stdio", nargs=argparse.REMAINDER, help="command and its arguments; comes last")
    parser.add_argument("--call", nargs=2, action="append", default=[], metavar=("NAME", "JSON"))
    parser.add_argument("--header", action="append", default=[], metavar="'Name: value'")
    parser.add_argument("--era", choices=["auto", "modern", "legacy"], default="auto")
    parser.add_argument("--transport", choices=["http", "sse"], default="http")
    parser.add_argument("--answer-questions", action="store_true", dest="answer")
    parser.add_argument("--progress", action="store_true")
    args = parser.parse_args()
    args.headers = {name.strip(): value.strip() for name, _, value in (h.partition(":") for h in args.header)}
    return args


def value(schema: dict[str, Any]) -> Any:
    """A value that satisfies one property of a form: its default, else the first or simplest one."""
    if "default" in schema:
        return schema["default"]
    choices = schema.get("enum") or [one["const"] for one in schema.get("oneOf") or schema.get("anyOf") or []]
    if choices:
        return choices[0]
    if schema["type"] == "array":
        return [value(schema["items"])]
    if schema.get("format") == "email":
        return "answer@example.com"
    return {"string": "answer", "integer": 7, "number": 7.5, "boolean": True}[schema["type"]]


def form(schema: dict[str, Any]) -> dict[str, Any]:
    """The fixed answer to a form; the TypeScript clients give the same."""
    return {name: value(one) for name, one in schema["properties"].items()}


SAMPLE = {
    "role": "assistant",
    "content": {"type": "text", "text": "answer of the model"},
    "model": "fixed",
    "stopReason": "endTurn",
}
ROOTS = {"roots": [{"uri": "file:///answer", "name": "answer"}]}


async def every(fetch: Callable[[str | None], Awaitable[Any]], key: str) -> list[Any]:
    """All pages of a list. SDK 1.x names the cursor as the wire does, 2.x as Python does."""
    found: list[Any] = []
    cursor = None
    for _ in range(PAGES):
        page = await fetch(cursor)
        found += getattr(page, key)
        cursor = page.nextCursor if hasattr(page, "nextCursor") else page.next_cursor
        if cursor is None:
            return found
    raise RuntimeError(f"{key}: more than {PAGES} pages")


def plain(model: Any) -> Any:
    """A pydantic model as the wire spells it."""
    return model.model_dump(mode="json", by_alias=True, exclude_none=True) if model is not None else None


async def call_all(args: argparse.Namespace, call: Callable[..., Awaitable[Any]]) -> list[dict[str, Any]]:
    """Makes each call, keeping errors and progress beside the results."""
    done = []
    for name, given in args.call:
        entry: dict[str, Any] = {"name": name}
        progress: list[dict[str, Any]] = []

        async def on_progress(now: float, total: float | None, message: str | None) -> None:
            told = {"progress": now, "total": total, "message": message}
            progress.append({key: one for key, one in told.items() if one is not None})

        try:
            entry["result"] = plain(await call(name, json.loads(given), on_progress if args.progress else None))
        except Exception as error:  # what a client may raise differs between the SDKs
            inner = getattr(error, "error", error)
            entry["error"] = {"code": getattr(inner, "code", None), "message": str(error)}
        if args.progress:
            entry["progress"] = progress
        done.append(entry)
    return done


async def pin_modern(session: Any) -> None:
    """What the SDK's pinned mode leaves out: asking the server whether it agrees, and what it can do."""
    import mcp_types

    found = await session.send_discover("2026-07-28")
    session.adopt(mcp_types.DiscoverResult.model_validate(found))


def leaves(error: BaseException) -> list[BaseException]:
    """The errors inside exception groups, which anyio wraps around everything."""
    inner = getattr(error, "exceptions", None)
    return [error] if inner is None else [leaf for one in inner for leaf in leaves(one)]


def main(client: str, run: Callable[..., Awaitable[None]]) -> None:
    """Runs a client: prints its document, or says on stderr why there is none."""
    found: dict[str, Any] = {}
    try:
        asyncio.run(run(parse(), found.update))
    except Exception as error:
        # SDK 1.x fails while it closes when the server speaks meanwhile; by then all has been found.
        for leaf in leaves(error):
            print(f"{client}: {type(leaf).__name__}: {leaf}", file=sys.stderr)
        if not found:
            sys.exit(1)
    print(json.dumps({"client": client, **found}, indent=2))
    failed = [call for call in found["calls"] if "error" in call]
    for call in failed:
        print(f"{client}: {call['name']} failed: {call['error']['message']}", file=sys.stderr)
    sys.stdout.flush()
    # The SDKs' background threads must not decide how long we live.
    os._exit(1 if failed else 0)
