"""A mail server for tests, on aiosmtpd: prints its port, then each mail that it gets as one line of JSON. A line with a
number on its standard input is what it answers to every further mail; it prints that number when it knows."""

import argparse
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

parser = argparse.ArgumentParser()
parser.add_argument("--starttls", nargs=2, metavar=("CERT", "KEY"))
parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
parser.add_argument("--login", nargs=2, metavar=("USER", "PASSWORD"))
given = parser.parse_args()
code = 250


def say(line):
    print(line, flush=True)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        if code != 250:
            return f"{code} 4.3.0 told to say so"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        part = lambda kind: mail.get_body((kind,)).get_content() if mail.get_body((kind,)) else ""
        user = session.auth_data.login.decode() if session.auth_data else None
        say(json.dumps({
            "from": envelope.mail_from, "to": envelope.rcpt_tos, "subject": str(mail["subject"]),
            "text": part("plain"), "html": part("html"), "raw": envelope.content.decode("utf-8", "replace"),
            "user": user, "secure": session.ssl is not None or given.tls is not None,
        }))
        return "250 kept"


def judge(server, session, envelope, mechanism, data):
    wanted = [text.encode() for text in given.login]
    is_well = isinstance(data, LoginPassword) and [data.login, data.password] == wanted
    # Not handled: the server answers by itself.
    return AuthResult(success=is_well, handled=False, auth_data=data)


def context(files):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files)
    return made


def serve():
    login = {}
    if given.login:
        # Over TLS from the first byte aiosmtpd does not know that it is safe to log in.
        login = {"authenticator": judge, "auth_required": True, "auth_require_tls": bool(given.starttls)}
    tls = {"tls_context": context(given.starttls), "require_starttls": True} if given.starttls else {}
    return SMTP(Handler(), hostname="mail.test", **login, **tls)


async def listen():
    global code
    loop = asyncio.get_running_loop()
    server = await loop.create_server(serve, "127.0.0.1", 0, ssl=context(given.tls) if given.tls else None)
    say(f"listening {server.sockets[0].getsockname()[1]}")
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        code = int(line)
        say(code)


asyncio.run(listen())
