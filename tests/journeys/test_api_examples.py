"""Every example of docs/api.md, copied and run against a real `bise serve` with the model that ships."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import ROOT, Server, client_key, serve

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```(python|sh)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(log=tmp_path_factory.mktemp("api") / "serve.log") as running:
        yield running


@pytest.fixture(scope="module")
def key() -> str:
    return client_key()


def test_there_is_an_example_of_every_dialect() -> None:
    words = "\n".join(code for _, code in EXAMPLES)
    for client in ("OpenAI(", "Mistral(", "Anthropic(", "AzureOpenAI(", "curl", "/tokenize", "embeddings", "echo=True"):
        assert client in words


@pytest.mark.parametrize(("language", "code"), EXAMPLES, ids=[f"{place}" for place in range(len(EXAMPLES))])
def test_an_example_runs_as_it_stands(server: Server, key: str, language: str, code: str, tmp_path: Path) -> None:
    code = code.replace("http://127.0.0.1:8421", server.url).replace("YOUR_KEY", key)
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert '"error"' not in done.stdout
