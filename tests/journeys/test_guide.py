"""The programs in the guide run as they stand, but for the address and the key."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import ROOT, Server, client_key, serve

pytestmark = pytest.mark.slow
GUIDE = (ROOT / "docs/serve.md").read_text(encoding="utf-8")
PROGRAMS = [
    *((sys.executable, "-c", code) for code in re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)),
    *(("sh", "-c", code) for code in re.findall(r"```sh\n(curl.*?)```", GUIDE, re.DOTALL)),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(log=tmp_path_factory.mktemp("guide") / "serve.log") as running:
        yield running


@pytest.mark.parametrize("program", PROGRAMS, ids=["openai", "mistralai", "curl"])
def test_a_program_of_the_guide_prints_an_answer(server: Server, program: tuple[str, str, str], tmp_path: Path) -> None:
    *command, code = program
    code = code.replace("http://127.0.0.1:8421", server.url).replace("YOUR_KEY", client_key())
    done = subprocess.run([*command, code], check=False, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout, done.stdout
