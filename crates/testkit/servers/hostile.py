#!/usr/bin/env python3
"""A legacy server on a pipe that mistreats whoever calls it: each tool is one way to do so. Standard library only."""

import json
import os
import sys
import threading
import time

LINE = "x" * 65536


def send(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def reply(ident, result):
    send(json.dumps({"jsonrpc": "2.0", "id": ident, "result": result}))


def text(ident, value):
    reply(ident, {"content": [{"type": "text", "text": value}]})


def never(ident):
    pass


def garbage(ident):
    send("Hello, I am not JSON")
    send('{"jsonrpc":"2.0"')
    text(ident, "after garbage")


def wrong_id(ident):
    text("somebody else's", "for nobody")


def no_id(ident):
    send('{"jsonrpc":"2.0","result":{"content":[]}}')


def null_result(ident):
    send('{"jsonrpc":"2.0","id":%s,"result":null}' % json.dumps(ident))


def endless(ident):
    while True:
        sys.stdout.write(LINE)


def huge(ident):
    sys.stdout.write('{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' % json.dumps(ident))
    for _ in range(1600):
        sys.stdout.write(LINE)
    send('"}]}}')


def notices(ident):
    for number in range(5000):
        send('{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%d}}' % number)
        send('{"jsonrpc":"2.0","method":"notifications/nobody_knows","params":{"n":%d}}' % number)
    text(ident, "after notices")


def changes(ident):
    for _ in range(5000):
        send('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')
    text(ident, "after changes")


def errors(ident):
    for _ in range(800):
        sys.stderr.write(LINE + "\n")
    sys.stderr.flush()
    text(ident, "after errors")


def twice(ident):
    text(ident, "once")
    text(ident, "twice")


def deep(ident):
    send('{"jsonrpc":"2.0","id":%s,"result":%s1%s}' % (json.dumps(ident), '{"a":' * 5000, "}" * 5000))


def close(ident):
    os._exit(3)


def ok(ident):
    text(ident, "fine")


def main():
    tools = {name: globals()[name] for name in (
        "never garbage wrong_id no_id null_result endless huge notices changes errors twice deep close ok".split()
    )}
    for line in sys.stdin:
        message = json.loads(line)
        ident, method = message.get("id"), message.get("method")
        if ident is None:
            continue
        if method == "initialize":
            reply(ident, {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True}, "logging": {}},
                "serverInfo": {"name": "hostile", "version": "1"},
            })
        elif method == "tools/list":
            reply(ident, {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools]})
        elif method == "tools/call":
            threading.Thread(target=tools[message["params"]["name"]], args=(ident,), daemon=True).start()
        else:
            send('{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}' % json.dumps(ident))
            time.sleep(0)


main()
