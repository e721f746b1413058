"""Prints the licenses of every crate that is linked into the program, with their texts.

    python3 install/licenses.py TARGET

The crates are those that cargo itself says are linked for TARGET, the texts the files that
their authors ship, also of the C code that some of them carry. A text that many crates share
is printed once.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

IS_LICENSE = re.compile(r"(un)?licen[cs]e|copying|copyright|notice", re.IGNORECASE)
IS_CODE = {".rs", ".c", ".h", ".cc", ".cpp", ".go", ".js", ".py", ".pl", ".sh", ".S", ".toml", ".json", ".html", ".css"}


def cargo(*words):
    return subprocess.run(["cargo", *words], check=True, capture_output=True, text=True).stdout


def linked(target):
    """Name and version of every crate that is linked."""
    lines = cargo("tree", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none", "--target", target, "--format", "{p}").splitlines()
    return {tuple(re.match(r"(\S+) v(\S+)", line).groups()) for line in lines if line}


def texts(crate):
    """What the crate's files say, each with its path."""
    root = Path(crate["manifest_path"]).parent
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if path.is_file() and IS_LICENSE.match(path.name) and path.suffix not in IS_CODE and inside.parts[0] != "target":
            yield str(inside), path.read_text(encoding="utf-8", errors="replace").strip()


def main(target):
    wanted = linked(target)
    metadata = json.loads(cargo("metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    crates = sorted((c for c in metadata["packages"] if (c["name"], c["version"]) in wanted), key=lambda c: (c["name"], c["version"]))
    assert len(crates) == len(wanted), "cargo metadata and cargo tree disagree"
    own = metadata["resolve"]["root"]

    print("Tollkeeper is made of these crates. Their licenses follow, each with those that ship it.\n")
    users = defaultdict(list)
    for crate in crates:
        license = crate["license"] or sys.exit(f"{crate['name']} {crate['version']} names no license")
        if crate["id"] == own:
            print(f"{crate['name']} {crate['version']}: {license} (the program itself)")
            continue
        found = list(texts(crate))
        for path, text in found:
            users[text].append(f"{crate['name']} {crate['version']}: {path}")
        note = "" if found else f"; by {', '.join(crate['authors']) or crate['repository']}, who ships no text: the one of that name below holds"
        print(f"{crate['name']} {crate['version']}: {license}{note}")
    for text, names in sorted(users.items(), key=lambda entry: entry[1]):
        print("\n" + "=" * 100, *names, "-" * 100, text, sep="\n")


main(sys.argv[1])
