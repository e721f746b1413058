"""Takes every snippet from pages of handshake codes and from the page API, compiles it in its language, and runs it where it is a program.

    python3 snippets.py FOLDER

FOLDER is where `run` built the libraries.
"""

import html
import http.cookiejar
import os
import re
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from support import PATIENCE, Sandbox, equal, must

ROOT = Path(__file__).parent.parent.parent
SDK = ROOT / "static/sdk"


class Visitor:
    """Somebody who is logged in."""

    def __init__(self, site):
        self.site = site
        trust = urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=site.authority))
        self.opener = urllib.request.build_opener(trust, urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        password = "four words are enough"
        self.visit("/admin/setup", {"name": "admin", "password": password, "again": password})

    def visit(self, path, form=None):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(self.site.https + path, data, {"Origin": self.site.https})
        with self.opener.open(request, timeout=PATIENCE) as answer:
            return answer.read().decode()


def do(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=PATIENCE, **more)
    must(done.returncode == 0, *command, done.stdout, done.stderr)
    return done


def run(*command, **more):
    """Runs a program that says nothing when it is licensed."""
    equal(do(*command, **more).stderr, "", command[0])


def try_snippet(name, text, folder, built):
    """Compiles it; whether it was run as well."""

    def written(file):
        (folder / file).write_text(text)
        return folder / file

    library = built.parent / "sdk/libtollkeeper.a"
    strict = ("-Wall", "-Wextra", "-Werror", "-I", SDK / "c")
    home = {"cwd": folder, "env": {**os.environ, "HOME": str(folder)}}
    program = folder / "program"
    if name == "script-tag":
        text = text.rpartition("<script>")[2].partition("</script>")[0]
        do("node", "--check", written("tag.js"))
    elif name == "es-module":
        do("node", "--check", written("module.mjs"))
    elif name == "node":
        (folder / "node_modules").mkdir()
        (folder / "node_modules/tollkeeper").symlink_to(SDK / "javascript")
        run("node", written("snippet.mjs"), **home)
        return True
    elif name == "c":
        do("cc", "-std=c99", *strict, written("snippet.c"), library, "-lpthread", "-ldl", "-lm", "-o", program)
        run(program, **home)
        return True
    elif name == "cpp":
        do("c++", "-std=c++17", *strict, "-I", SDK / "cpp", written("snippet.cpp"), library, "-lpthread", "-ldl", "-lm", "-o", program)
        run(program, **home)
        return True
    elif name == "csharp":
        assembly = built / "csharp/Tollkeeper.dll"
        do("mcs", "-warnaserror", f"-r:{assembly}", f"-out:{program}.exe", written("Snippet.cs"))
        paths = {"MONO_PATH": str(assembly.parent), "LD_LIBRARY_PATH": str(built / "csharp/package/runtimes/linux-x64/native")}
        run("mono", f"{program}.exe", cwd=folder, env={**home["env"], **paths})
        return True
    elif name == "java":
        do("javac", "-cp", built / "java/tollkeeper.jar", "-d", folder, written("Main.java"))
        run("java", f"-Duser.home={folder}", "-cp", f"{built / 'java/tollkeeper.jar'}:{folder}", "Main", **home)
        return True
    elif name == "python":
        run(built / "python/venv/bin/python", "-W", "error", written("snippet.py"), **home)
        return True
    elif name == "objective-c":
        gnustep = ("-isystem", "/usr/include/GNUstep", "-I", SDK / "objective-c", "-fobjc-exceptions", "-fconstant-string-class=NSConstantString")
        do("gcc", *strict, *gnustep, "-c", written("snippet.m"), "-o", f"{program}.o")
    elif name == "curl":
        do("sh", "-n", written("snippet.sh"))
    else:
        must(False, f"say here how a snippet of {name} is tried")
    return False


def main():
    built = Path(sys.argv[1])
    with ExitStack() as stack:
        site = Sandbox(stack)
        visitor = Visitor(site)
        libraries = set(re.findall(r'href="/sdk/([^/"]+)/"', visitor.visit("/sdk/")))
        ran = 0
        for path in ("handshakes/216998-scan", "handshakes/216998-locked", "api"):
            page = visitor.visit(f"/admin/{path}")
            equal(libraries - set(re.findall(r'href="/sdk/([^/"]+)/"', page)), set(), "libraries without a snippet")
            snippets = re.findall(r'<pre id="snippet-([^"]+)"[^>]*>(.*?)</pre>', page, re.S)
            for name, text in snippets:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-")))
                ran += try_snippet(name, html.unescape(text), folder, built)
        # Each had a folder of its own.
        equal(len(site.devices()), ran, "devices that were authorized")
        print(f"{len(snippets)} snippets compiled, three times; {ran} programs were authorized")


if __name__ == "__main__":
    main()
