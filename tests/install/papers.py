"""Checks what lies beside the program in the archive: the SBOM against the published schema, the
licenses against the SBOM, the sample settings against the source and README.md.

    python papers.py UNPACKED FILE      FILE becomes the sample with every remark in force
"""

import json
import re
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

archive, every_setting = map(Path, sys.argv[1:])

text = (archive / "sbom.cdx.json").read_text()
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
assert error is None, error
bom = json.loads(text)
listed = {f"{component['name']} {component['version']}" for component in bom["components"]}
head = (archive / "LICENSES.txt").read_text().split("=" * 100)[0].splitlines()[2:]
licensed = {line.split(":")[0] for line in head if line} - {f"tollkeeper {bom['metadata']['component']['version']}"}
assert licensed <= listed, f"not in the SBOM: {sorted(licensed - listed)}"
assert len(licensed) > 100, head
print(f"ok  the SBOM is valid CycloneDX and names {len(listed)} crates; among them are the {len(licensed)} whose licenses are listed")

sample = re.sub(r"^#([a-z_]+ = )", r"\1", (archive / "tollkeeper.toml").read_text(), flags=re.MULTILINE)
every_setting.write_text(sample)
values = {}
for name, value in tomllib.loads(sample).items():
    values |= {f"{name}.{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {name: value}
keys = re.search(r"KEYS: .*?\[\n(.*?)\];", Path("src/settings/keys.rs").read_text(), re.DOTALL).group(1)
differs = set(values) ^ set(re.findall(r'"(.*)"', keys))
assert not differs, f"either in install/tollkeeper.toml or in src/settings/keys.rs, but not in both: {sorted(differs)}"
told = dict(re.findall(r"^\| `([a-z_.]+)` \| `TOLLKEEPER_\w+` \| `?(\d+|[a-z]+)`? \|", Path("README.md").read_text(), re.MULTILINE))
is_told = lambda value, default: str(value) == default or (default == "none" and value in ("", []))
wrong = {key: (values[key], default) for key, default in told.items() if key not in ("data", "limits.workers") and not is_told(values[key], default)}
assert not wrong, f"the sample and README.md have different defaults: {wrong}"
print(f"ok  the sample settings name all {len(values)} keys, with the defaults of README.md")
