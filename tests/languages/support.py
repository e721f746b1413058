"""What the scenarios stand on: real servers, one that forges answers, and the driver programs of the languages."""

import base64
import json
import os
import queue
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROGRAM = os.environ["TOLLKEEPER_PROGRAM"]
#: The longest that anything may take.
PATIENCE = 60


class Broken(Exception):
    """A scenario went otherwise than it must."""


def must(holds, *told):
    if not holds:
        raise Broken(" ".join(str(each) for each in told))


def equal(found, wanted, what=""):
    must(found == wanted, f"{what}: {found!r}, not {wanted!r}")


def tollkeeper(*words, **more):
    """Runs a command of the binary; its output."""
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE, **more)
    must(done.returncode == 0, f"tollkeeper {' '.join(map(str, words))}:", done.stderr)
    return done.stdout


def issue_certificate(home):
    """An authority, and what it gives to a server of this machine: the paths of its certificate, the server's, and the server's key."""
    made = [home / name for name in ("authority.pem", "server.pem", "server.key")]
    authority, certificate, key = made
    authority_key = home / "authority.key"

    def request(subject, *words):
        command = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
        done = subprocess.run([*command, "-subj", f"/CN={subject}", *words], capture_output=True, text=True, timeout=PATIENCE)
        must(done.returncode == 0, "openssl:", done.stderr)

    request("Authority", "-keyout", authority_key, "-out", authority, "-addext", "keyUsage=critical,keyCertSign")
    extensions = ("subjectAltName=IP:127.0.0.1", "basicConstraints=critical,CA:FALSE", "extendedKeyUsage=serverAuth")
    own = [word for extension in extensions for word in ("-addext", extension)]
    request("Server", "-CA", authority, "-CAkey", authority_key, "-keyout", key, "-out", certificate, *own)
    return made


def until(what, look):
    """Looks until it is so; what it is then."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        must(time.monotonic() < end, f"in {PATIENCE} s there was no {what}")
        time.sleep(0.05)
    return found


def inline(table):
    """A table of TOML on one line."""
    return "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in table.items()) + "}"


def get(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def decode(carried):
    """The JSON in one line that is carried by hand."""
    text = carried.split(".", 1)[1]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def decode_file(lines):
    """The JSON in a file that is carried by hand."""
    begin, end = (next(number for number, line in enumerate(lines) if line.startswith(f"-----{word} ")) for word in ("BEGIN", "END"))
    return decode("".join(lines[begin + 1 : end]))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Process:
    """A server that is ended at the end."""

    def __init__(self, stack, *words, ready, env=None):
        self.words, self.ready, self.env = words, ready, env
        self.begin()
        stack.callback(self.kill)

    def begin(self):
        """Starts it, also again; what it said until it was ready."""
        self.child = subprocess.Popen([PROGRAM, *map(str, self.words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.env)
        self.told = ""
        for line in self.child.stdout:
            self.told += line
            if self.ready in line:
                threading.Thread(target=self.child.stdout.read, daemon=True).start()
                return
        raise Broken(f"{self.words[0]} ended: {self.told}")

    def stop(self):
        self.child.terminate()
        self.child.wait(PATIENCE)

    def kill(self):
        self.child.kill()
        self.child.wait(PATIENCE)


class Sandbox:
    """`tollkeeper sandbox`: a license server with a clock and faults, and a vendor of its own."""

    def __init__(self, stack):
        self.data = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-")))
        addresses = ("--listen", f"127.0.0.1:{free_port()}", "--http", f"127.0.0.1:{free_port()}")
        self.process = Process(stack, "sandbox", "--data", self.data, *addresses, ready="Stop with Ctrl-C")
        self.https = re.search(r"on (https://[^,]+),", self.process.told)[1]
        self.http = re.search(r"without encryption: (http:\S+)", self.process.told)[1]
        self.state = get(f"{self.http}/sandbox")
        self.vendor = self.state["vendor_public_key"]
        self.authority = (self.data / "tls/ca.pem").read_text()

    def license_key(self, code):
        return next(row["license_key"] for row in self.state["handshake_codes"] if row["handshake_code"] == code)

    def advance(self, span):
        get(f"{self.http}/sandbox/clock", {"advance": span})

    def set_clock(self, time):
        get(f"{self.http}/sandbox/clock", {"set": time.strftime("%Y-%m-%dT%H:%M:%SZ")})

    def faults(self, **change):
        get(f"{self.http}/sandbox/faults", change)

    def total(self, code="216998-scan"):
        return json.loads(tollkeeper("usage", "show", "--data", self.data, "--handshake", code, "--json"))["total"]

    def devices(self):
        return json.loads(tollkeeper("device", "list", "--data", self.data, "--json"))

    def sell(self, code, **item):
        """A further license of one item, under a code of its own."""
        home = Path(tempfile.mkdtemp(dir=self.data))
        fields = {"item_id": 200_000_000 + len(code), "product": "dbr", **item}
        told = "".join(f"{name} = {json.dumps(value) if not isinstance(value, dict) else inline(value)}\n" for name, value in fields.items())
        dates = "valid_from = 2020-01-01\nvalid_to = 2099-12-31\n"
        (home / "items.toml").write_text(f'organization_id = "216998"\n[[items]]\n{told}{dates}')
        tollkeeper("license", "request", "--data", self.data, "--out", home / "server.req")
        key = ("--key", self.state["vendor_key_file"])
        tollkeeper("vendor", "issue", *key, "--items", home / "items.toml", "--out", home / "new.lic")
        tollkeeper("vendor", "activate", *key, "--license", home / "new.lic", "--request", home / "server.req", "--out", home / "sold.lic")
        tollkeeper("license", "import", home / "sold.lic", "--data", self.data)
        tollkeeper("handshake", "add", code, "--items", fields["item_id"], "--data", self.data)


class Pair:
    """Two servers of one site: a primary and its standby, by the real clock."""

    ITEM = 100_000_001

    def __init__(self, stack, codes):
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-")))
        tollkeeper("vendor", "keygen", "--out", home / "vendor")
        vendor = home / "vendor/vendor.pub"
        self.vendor = vendor.read_text()
        self.data = [home / "primary", home / "standby"]
        ports = [free_port(), free_port()]
        self.urls = [f"https://127.0.0.1:{port}" for port in ports]
        env = {**os.environ, "TOLLKEEPER_TRUSTED_VENDORS": str(vendor)}
        self.servers = [
            Process(stack, "serve", "--data", data, "--listen", f"127.0.0.1:{port}", ready="listening on", env=env)
            for data, port in zip(self.data, ports)
        ]
        primary, standby = (("--data", data) for data in self.data)
        token = re.search(r"standby join \S+ (\S+)", tollkeeper("standby", "invite", *primary))[1]
        tollkeeper("standby", "join", self.urls[0], token, *standby)
        tollkeeper("license", "request", *primary, "--out", home / "both.req")
        (home / "items.toml").write_text(
            f'organization_id = "216998"\n[[items]]\nitem_id = {self.ITEM}\nproduct = "dbr"\ncharge_way = "scan"\nquota = 100000\n'
            "valid_from = 2020-01-01\nvalid_to = 2099-12-31\n"
        )
        key = ("--key", home / "vendor/vendor.key")
        tollkeeper("vendor", "issue", *key, "--items", home / "items.toml", "--out", home / "new.lic")
        tollkeeper("vendor", "activate", *key, "--license", home / "new.lic", "--request", home / "both.req", "--out", home / "both.lic")
        tollkeeper("license", "import", home / "both.lic", *primary)
        for code in codes:
            tollkeeper("handshake", "add", code, "--items", self.ITEM, *primary)
        self.license_keys = {code: tollkeeper("handshake", "key", code, *primary).strip() for code in codes}
        tollkeeper("standby", "sync", *primary)

    def lose_primary(self):
        """What was acknowledged is on the standby; then the primary dies."""
        tollkeeper("standby", "sync", "--data", self.data[0])
        self.servers[0].kill()

    def wait_for_standby(self):
        until("standby that serves", lambda: "standby, serving" in tollkeeper("standby", "status", "--data", self.data[1]))

    def total(self, code):
        return json.loads(tollkeeper("usage", "show", "--data", self.data[1], "--handshake", code, "--json"))["total"]


class Forger:
    """A server with an authority of its own that passes everything on, and changes the answers."""

    def __init__(self, stack):
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-")))
        authority, certificate, key = issue_certificate(home)
        self.authority = authority.read_text()
        self.upstream = ""
        self.change = lambda answer: answer
        #: Paths that were asked for, and in which kind of body.
        self.asked = []
        forger = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                length = self.headers["Content-Length"]
                body = None if length is None else self.rfile.read(int(length))
                kind = self.headers["Content-Type"]
                forger.asked.append((self.path, kind))
                request = urllib.request.Request(forger.upstream + self.path, body, {} if kind is None else {"Content-Type": kind})
                with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                    status, kind, told = answer.status, answer.headers["Content-Type"], answer.read()
                if self.path.endswith("/authorize") and kind == "application/json":
                    told = json.dumps(forger.change(json.loads(told))).encode()
                self.send_response(status)
                if kind is not None:
                    self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(told)))
                self.end_headers()
                self.wfile.write(told)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        self.https = f"https://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        stack.callback(server.server_close)
        stack.callback(server.shutdown)


class Driver:
    """A program that does what it is told through a library: see tests/c/driver.c."""

    def __init__(self, stack, program, now=None):
        must(program.exists(), f"{program} was not built")
        # The device's clock stands still then; but for the last of these, Java would spin.
        clock = [] if now is None else ["faketime", "-f", now.strftime("%Y-%m-%d %H:%M:%S")]
        faked = {"TZ": "UTC", "ASAN_OPTIONS": "verify_asan_link_order=0", "DONT_FAKE_MONOTONIC": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}
        env = {**os.environ, **faked}
        pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
        self.child = subprocess.Popen([*clock, str(program)], **pipes, text=True, bufsize=1, env=env)
        self.lines, self.events, self.errors = queue.Queue(), [], []
        self.readers = [threading.Thread(target=self._read), threading.Thread(target=lambda: self.errors.extend(self.child.stderr))]
        for reader in self.readers:
            reader.start()
        stack.callback(self._end)

    def _read(self):
        for line in self.child.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _end(self):
        self.child.kill()
        self.child.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)

    def end(self):
        """No more commands: it must end well. What it said until then is heard."""
        self.child.stdin.close()
        equal(self.child.wait(PATIENCE), 0, "the program's status")
        while (line := self.lines.get(timeout=PATIENCE)) is not None:
            self.events.append(line.removeprefix("event "))

    def tell(self, *words):
        """Its answer to a command."""
        command = " ".join(map(str, words))
        self.child.stdin.write(command + "\n")
        while True:
            try:
                line = self.lines.get(timeout=PATIENCE)
            except queue.Empty:
                raise Broken(f"no answer to '{command}'") from None
            must(line is not None, f"it ended at '{command}':", "".join(self.errors[-20:]))
            if not line.startswith("event "):
                return line
            self.events.append(line.removeprefix("event "))

    def done(self, *words):
        """It must answer that this was done; the text that came along."""
        code, _, text = self.tell(*words).partition(" ")
        must(code == "0", " ".join(map(str, words)) + ":", code, text)
        return text

    def refused(self, code, *words):
        """It must answer with this code, such as 120; the message for developers and the one for the end user."""
        answer = self.tell(*words)
        number, _, text = answer.partition(" ")
        must(number == str(-20_000 - code), " ".join(map(str, words)) + f": {answer}, not {code}")
        message, _, user_message = text.rpartition(" | ")
        must(message and user_message, answer)
        return message, user_message

    @property
    def status(self):
        return json.loads(self.done("status"))


class Cell:
    """One language in one scenario: its drivers, servers and folders, all gone afterwards."""

    def __init__(self, program):
        self.program = program
        self.stack = ExitStack()
        self.home = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-")))

    def sandbox(self):
        return Sandbox(self.stack)

    def forger(self):
        return Forger(self.stack)

    def file(self, text):
        """A new file with this text."""
        path = Path(tempfile.mkstemp(dir=self.home)[1])
        path.write_text(text)
        return path

    def folder(self):
        """A new folder: a new device."""
        return Path(tempfile.mkdtemp(dir=self.home))

    def driver(self, vendor, folder=None, now=None, **settings):
        """A program with these settings."""
        driver = Driver(self.stack, self.program, now)
        driver.done("set-file", "vendorPublicKey", self.file(vendor))
        for name, value in {"product": "dbr", "dataFolder": folder or self.folder(), **settings}.items():
            if name == "certificateAuthority":
                driver.done("set-file", name, self.file(value))
            else:
                driver.done("set", name, value)
        return driver

    def by_key(self, site, code="216998-scan", folder=None):
        return self.driver(site.vendor, folder, licenseKey=site.license_key(code))

    def by_fields(self, site, code="216998-scan", folder=None, **settings):
        fields = {"mainServerURL": site.https, "certificateAuthority": site.authority, "handshakeCode": code}
        return self.driver(site.vendor, folder, **{**fields, **settings})
