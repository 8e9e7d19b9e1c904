"""llama.cpp's own `llama-server` behind ours, with the shipped model as GGUF: the same words through it.

`make test-peers` builds the program; elsewhere `LLAMA_SERVER` names it, and without that the test says so.
"""

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.command import free_port, succeed
from tests.peers.behind import ASK, check_answers, check_features, check_refusal, gateway_to, running

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = os.environ.get("LLAMA_SERVER")
    if program is None:
        pytest.skip("LLAMA_SERVER does not name llama.cpp's llama-server: type `make test-peers`")
    directory, port = tmp_path_factory.mktemp("llama"), free_port()
    succeed("export", "bise-demo", "--to", "gguf", directory / "gguf")
    (model,) = (directory / "gguf").rglob("*.gguf")
    command = [program, "--model", str(model), "--port", str(port), "--threads", "2", "--no-ui", "--jinja"]
    with running(command, f"http://127.0.0.1:{port}/health", directory / "llama.log"):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def gateway(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with gateway_to(llama, "llama-server", tmp_path_factory.mktemp("gateway")) as client:
        yield client


def test_what_it_says_comes_through_whole_and_streamed(gateway: httpx.Client, llama: str) -> None:
    check_answers(gateway, llama)


def test_its_own_features_are_reached_in_our_words(gateway: httpx.Client) -> None:
    check_features(gateway)


def test_its_refusals_are_ours(gateway: httpx.Client) -> None:
    check_refusal(gateway)
    lacking = gateway.post("/v1/chat/completions", json=ASK | {"min_tokens": 3})
    assert lacking.status_code == 400
    assert lacking.json()["error"]["param"] == "min_tokens"
