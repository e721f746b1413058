"""Names the wheel after the machine that the library in it is for; pyproject.toml has the rest."""

import re
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

PACKAGE = Path(__file__).parent / "tollkeeper"


class Native(Distribution):
    """Something that is for one kind of machine."""

    def has_ext_modules(self) -> bool:
        return True


class Wheel(bdist_wheel):
    """A wheel for every Python of that machine."""

    def get_tag(self) -> "tuple[str, str, str]":
        libraries = [path for path in PACKAGE.iterdir() if path.suffix in (".so", ".dylib", ".dll")]
        if not libraries:
            raise SystemExit(f"copy the library, such as libtollkeeper.so, into {PACKAGE} first (README.md)")
        platform = sysconfig.get_platform()
        if platform.startswith("linux"):
            # The oldest C library that has everything the library asks for.
            needs = max(int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)\0", libraries[0].read_bytes()))
            platform = platform.replace("linux", f"manylinux_2_{needs}")
        return "py3", "none", re.sub("[-.]", "_", platform)


setup(distclass=Native, cmdclass={"bdist_wheel": Wheel})
