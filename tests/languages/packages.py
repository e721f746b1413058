"""A license server hands out the built packages: python3 packages.py FOLDER, which install/sdk-packages filled."""

import os
import re
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from support import PATIENCE, Process, equal, must


def main():
    packages = Path(sys.argv[1])
    with ExitStack() as stack:
        data = stack.enter_context(tempfile.TemporaryDirectory(prefix="tollkeeper-"))
        env = {**os.environ, "TOLLKEEPER_SDK_PACKAGES": str(packages)}
        listen = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
        server = Process(stack, "serve", "--data", data, *listen, ready="unencrypted because", env=env)
        url = re.search(r"http://[0-9.:]+", server.told)[0]

        def visit(path):
            try:
                with urllib.request.urlopen(url + path, timeout=PATIENCE) as answer:
                    return answer.status, answer.headers["Content-Type"], answer.read()
            except urllib.error.HTTPError as error:
                return error.code, None, b""

        count = 0
        for package in sorted(packages.glob("*/*")):
            path = f"/sdk/{package.parent.name}/{package.name}"
            must(f'href="{path}"' in visit(f"/sdk/{package.parent.name}/")[2].decode(), f"the page leads to {path}")
            equal(visit(path), (200, "application/octet-stream", package.read_bytes()), path)
            count += 1
        for path in ("/sdk/python/none.whl", "/sdk/python/..%2fc%2f", "/sdk/python/%2e%2e/%2e%2e/etc/passwd", "/sdk/other/x", "/sdk/c/."):
            equal(visit(path)[0], 404, path)
        print(f"{count} packages are handed out")


if __name__ == "__main__":
    main()
