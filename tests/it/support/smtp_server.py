"""A mail server for the tests, by aiosmtpd: it takes mails, and misbehaves when it is told to.

    smtp_server.py [--starttls CERT KEY | --tls CERT KEY] [--login USER PASSWORD]

It prints a line of JSON with its port, then one for each mail. A line on standard input changes how it
behaves: {"answer": "451 4.3.0 busy"} refuses every mail so, {"refuse": "bert@plant.example"} one recipient,
{"stall": true} never answers a mail again, {} takes everything.
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

arguments = argparse.ArgumentParser()
arguments.add_argument("--starttls", nargs=2)
arguments.add_argument("--tls", nargs=2)
arguments.add_argument("--login", nargs=2)
arguments = arguments.parse_args()
behaviour = {}


def tell(value):
    print(json.dumps(value), flush=True)


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == behaviour.get("refuse"):
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if behaviour.get("stall"):
            await asyncio.sleep(3600)
        if "answer" in behaviour:
            return behaviour["answer"]
        user = session.auth_data.login.decode() if session.authenticated else None
        tell(
            {
                "to": envelope.rcpt_tos,
                "from": envelope.mail_from,
                "text": envelope.content.decode(),
                "user": user,
                "encrypted": session.ssl is not None or arguments.tls is not None,
            }
        )
        return "250 2.0.0 taken as number 7"


def authenticate(server, session, envelope, mechanism, data):
    is_right = [data.login.decode(), data.password.decode()] == arguments.login
    return AuthResult(success=is_right, handled=False, auth_data=data)


def context(files):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*files)
    return made


def session():
    options = {"hostname": "mail.plant.example", "enable_SMTPUTF8": False}
    if arguments.starttls:
        options |= {"tls_context": context(arguments.starttls), "require_starttls": True}
    if arguments.login:
        options |= {"authenticator": authenticate, "auth_required": True, "auth_require_tls": bool(arguments.starttls)}
    return SMTP(Handler(), **options)


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(session, "127.0.0.1", 0, ssl=context(arguments.tls) if arguments.tls else None)
    tell({"port": server.sockets[0].getsockname()[1]})
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        behaviour.clear()
        behaviour.update(json.loads(line))
        tell({"behaves": behaviour})


asyncio.run(main())
