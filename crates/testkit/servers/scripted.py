#!/usr/bin/env python3
"""A server that misbehaves on request and hides nothing: it answers with the very text that it received.

    scripted.py [--era legacy|modern] [--http] [--say TEXT] [--hang-if FILE] [--die-if FILE]

Tools: `raw` returns the params as they came, byte for byte, in the member `seen` of its result, beside
members and numbers that nobody knows; `received` returns every line so far; `crash` ends the process; `hang`
never answers; `wait_for` answers once a file exists. With --hang-if the server says nothing at all while that
file exists, with --die-if it ends as soon as it starts. Standard library only. --http prints `listening URL` and answers every POST with JSON.
"""

import argparse
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOOLS = ["raw", "received", "crash", "hang", "wait_for"]
received = []
lock = threading.Lock()


def params_text(text):
    """The member `params` as it is written."""
    start = text.index('"params":') + len('"params":')
    _, end = json.JSONDecoder().raw_decode(text, start)
    return text[start:end]


def tool(name):
    # Members that no revision knows, in an order and in numbers of their own.
    return (
        '{"name":%s,"zz":1,"description":"A tool","inputSchema":{"type":"object","x-b":1.0,"x-a":1e2},"aa":[]}'
        % json.dumps(name)
    )


def result(args, members):
    modern = '"resultType":"complete",' if args.era == "modern" else ""
    return "{" + modern + members + "}"


def text_result(args, text):
    return result(args, '"content":[{"type":"text","text":%s}]' % json.dumps(text))


def listed(args, members):
    fresh = ',"ttlMs":0,"cacheScope":"private"' if args.era == "modern" else ""
    return result(args, members + fresh)


def answer(args, message, text):
    """The text of the result, or None where there is none (yet)."""
    method = message.get("method", "")
    params = message.get("params") or {}
    if method == "initialize" and args.era == "legacy":
        return (
            '{"protocolVersion":%s,"capabilities":{"tools":{}},'
            '"serverInfo":{"name":"scripted","version":"1"}}' % json.dumps(params["protocolVersion"])
        )
    if method == "server/discover" and args.era == "modern":
        return listed(
            args,
            '"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},'
            '"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"scripted","version":"1"}}',
        )
    if method == "tools/list":
        return listed(args, '"tools":[%s]' % ",".join(tool(name) for name in TOOLS))
    if method == "ping":
        return "{}"
    if method != "tools/call":
        raise LookupError(method)
    name, given = params["name"], params.get("arguments") or {}
    if name == "raw":
        members = '"zz":1.0,"content":[{"type":"text","text":"","extra":1E30}],"seen":%s,"aa":{"y":-0,"b":1e2,"a":12345678901234567890123}'
        return result(args, members % params_text(text))
    if name == "received":
        with lock:
            return text_result(args, "\n".join(received))
    if name == "crash":
        os._exit(3)
    if name == "wait_for":
        while not os.path.exists(given["path"]):
            time.sleep(0.01)
        return text_result(args, "it is there")
    return None


def handle(args, text, send):
    with lock:
        received.append(text)
    message = json.loads(text)
    if "id" not in message or "method" not in message:
        return
    ident = json.dumps(message["id"])
    try:
        found = answer(args, message, text)
        if found is not None:
            send('{"jsonrpc":"2.0","id":%s,"result":%s}' % (ident, found))
    except LookupError as error:
        reason = json.dumps("method not found: %s" % error)
        send('{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":%s}}' % (ident, reason))


def serve_stdio(args):
    def send(text):
        with lock:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()

    for line in sys.stdin:
        if args.hang_if and os.path.exists(args.hang_if):
            continue
        threading.Thread(target=handle, args=(args, line.strip(), send), daemon=True).start()


def serve_http(args):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            sent = []
            handle(args, text, sent.append)
            body = sent[-1].encode() if sent else b""
            self.send_response(200 if body else 202)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.send_response(405)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_DELETE = do_GET

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print("listening http://127.0.0.1:%d/mcp" % server.server_port, flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--era", choices=["legacy", "modern"], default="legacy")
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--say", default="")
    parser.add_argument("--hang-if", default="")
    parser.add_argument("--die-if", default="")
    args = parser.parse_args()
    if args.die_if and os.path.exists(args.die_if):
        sys.exit("cannot start: %s exists" % args.die_if)
    if args.say:
        print(args.say, file=sys.stderr, flush=True)
    serve_http(args) if args.http else serve_stdio(args)


main()
