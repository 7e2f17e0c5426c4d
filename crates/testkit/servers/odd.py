"""A small legacy server on a pipe, for tests: it answers what it was sent as text, crashes, hangs, or shows
its environment, as asked. Written by hand, so that nothing between it and the wire tidies anything up."""
import json
import os
import sys
import threading
import time

HANGING = "--hang" in sys.argv


def send(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(line):
    message = json.loads(line)
    ident, method = message.get("id"), message.get("method")
    if ident is None:
        if method == "notifications/cancelled":
            sys.stderr.write("cancelled %s\n" % message["params"]["requestId"])
            sys.stderr.flush()
        return
    reply = lambda result: send('{"result":%s,"jsonrpc":"2.0","id":%s}' % (result, json.dumps(ident)))
    if method == "initialize":
        version = message["params"]["protocolVersion"]
        reply('{"protocolVersion":"%s","capabilities":{"tools":{"listChanged":true},"vendor":{"x":1.10}},'
              '"serverInfo":{"name":"odd","version":"1"}}' % version)
    elif method == "tools/list":
        if HANGING:
            return
        names = ["raw", "crash", "sleep", "env", "changed", "pid"]
        reply('{"tools":[%s]}' % ",".join('{"name":"%s","inputSchema":{"type":"object"},"vendorKey":1.10}' % n for n in names))
    elif method == "tools/call":
        name, arguments = message["params"]["name"], message["params"].get("arguments", {})
        text = lambda value: reply('{"content":[{"type":"text","text":%s}],"vendor":1.10}' % json.dumps(value))
        if name == "raw":
            text(line.rstrip("\n"))
        elif name == "crash":
            os._exit(3)
        elif name == "sleep":
            time.sleep(arguments["seconds"])
            text("slept")
        elif name == "env":
            text(json.dumps(dict(os.environ)))
        elif name == "changed":
            send('{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}')
            text("said so")
        elif name == "pid":
            text(str(os.getpid()))
    else:
        send('{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}' % json.dumps(ident))


for line in sys.stdin:
    # A call that sleeps must not hold up the next line.
    threading.Thread(target=answer, args=(line,), daemon=True).start()
