"""Does what it is told, one line at a time, through the Python library: what tests/c/driver.c does in C."""

import json
import sys
import threading
from dataclasses import fields
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Callable, Dict, Optional

from tollkeeper import Deduplicator, License, LicenseError, Settings, Status, check_vector

settings = Settings()
license: Optional[License] = None
deduplicator = Deduplicator()


def say(text: str) -> None:
    # At once, whichever thread says it.
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def name_of(name: str) -> str:
    """The setting with this name in the other languages."""
    names = {field.name.replace("_", "").lower(): field.name for field in fields(Settings)}
    return names[name.lower()]


def put(name: str, value: str = "") -> None:
    if name == "limitedModules":
        settings.limited_modules = value.split(",") if value else ()
    elif name == "sealed":
        settings.sealed = value == "true"
    else:
        setattr(settings, name_of(name), value or None)


def changed(status: Status) -> None:
    say(f"event changed {status.error.sdk_code if status.error else 0}")


def close_at_the_end(status: Status) -> None:
    if not status.is_licensed:
        the().close()
        say("event closed")


def begin(how: Callable[..., License], on_change: Callable[[Status], None] = changed) -> None:
    global license
    license = how(
        settings,
        on_change=on_change,
        on_report=lambda sent: say(f"event report {sent.accepted} {sent.duplicate} {sent.rejected}"),
        on_warning=lambda code, message: say(f"event warning {-20_000 - code} {message}"),
    )


def race() -> str:
    counted = []

    def count() -> None:
        mine = 0
        try:
            while True:
                the().record("QR Code")
                mine += 1
                the().status
        except LicenseError:
            counted.append(mine)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    the().renew()
    the().close()
    for thread in threads:
        thread.join()
    return str(sum(counted))


def the() -> License:
    assert license is not None
    return license


def json_of(status: Status) -> str:
    error = status.error
    return json.dumps(
        {
            "licensed": status.is_licensed,
            "origin": status.origin,
            "server": status.server,
            "expires_at": status.expires_at and status.expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "handshake_code": status.handshake_code,
            "client_uuid": status.client_uuid,
            "instances": status.instances,
            "code": error.code if error else 0,
            "message": str(error) if error else None,
            "failures": [{"server": failure.server, "code": failure.code, "message": failure.message} for failure in status.failures],
        }
    )


COMMANDS: Dict[str, Callable[..., Any]] = {
    "set": lambda name, value="": put(name, value),
    "set-file": lambda name, path: put(name, Path(path).read_text()),
    "initialize": lambda: begin(License.initialize),
    "initialize-closing": lambda: begin(License.initialize, close_at_the_end),
    "start": lambda: begin(License.start),
    "close": lambda: the().close(),
    "release": lambda: the().release(),
    "check": lambda module=None: the().check(module),
    "record": lambda count, kind: the().record(kind, int(count)),
    "record-page": lambda count, module: the().record("scanned", int(count), unit="page", module=module),
    "record-at": lambda at, kind: the().record(kind, at=datetime.fromtimestamp(int(at), timezone.utc)),
    "take": lambda count: the().take_instances(int(count)),
    "give": lambda count: the().give_back_instances(int(count)),
    "race": race,
    "flush": lambda: the().flush(),
    "renew": lambda: the().renew(),
    "status": lambda: json_of(the().status),
    "request": lambda: License.request_file(settings),
    "request-line": lambda: License.request_file(settings, as_line=True),
    "import": lambda path: License.import_authorization(settings, Path(path).read_text()),
    "report-file": lambda: the().report_file(),
    "vector": lambda kind, case: json.dumps(check_vector(kind, json.loads(case))),
    "import-receipt": lambda path: the().import_receipt(Path(path).read_text()),
}

for line in sys.stdin:
    command, *words = line.rstrip("\n").split(" ", 2)
    try:
        if command == "idle":
            say(str(the().idle_instances))
        elif command == "seen":
            say(str(int(deduplicator.is_new("QR", words[1], int(words[0]) / 1_000))))
        else:
            if command not in ("set", "set-file", "record", "record-page", "record-at", "vector"):
                words = [" ".join(words)] if words else []
            text = COMMANDS[command](*words)
            say("0" if text is None else "0 " + text.replace("\n", "~"))
    except LicenseError as error:
        say(f"{error.sdk_code} {error} | {error.user_message}")
if license is not None:
    license.close()
