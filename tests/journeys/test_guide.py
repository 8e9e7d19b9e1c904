"""The program in docs/serve.md runs as it stands, but for the address and the key; docs/api.md has a test of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import ROOT, Server, client_key, serve

pytestmark = pytest.mark.slow
GUIDE = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(log=tmp_path_factory.mktemp("guide") / "serve.log") as running:
        yield running


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_of_the_guide_prints_an_answer(server: Server, program: str, tmp_path: Path) -> None:
    code = program.replace("http://127.0.0.1:8421", server.url).replace("YOUR_KEY", client_key())
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_guide_has_a_program() -> None:
    assert PROGRAMS
