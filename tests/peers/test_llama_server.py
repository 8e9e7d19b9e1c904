"""llama.cpp's own `llama-server` behind ours, with the shipped model as GGUF: the same words through it.

`LLAMA_SERVER` names the program (`cmake -DCMAKE_BUILD_TYPE=Release`, target llama-server); without it the test says so.
"""

import contextlib
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.command import client_key, free_port, serve, succeed

pytestmark = pytest.mark.peers


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = os.environ.get("LLAMA_SERVER")
    if program is None:
        pytest.skip("LLAMA_SERVER does not name llama.cpp's llama-server")
    directory, port = tmp_path_factory.mktemp("llama"), free_port()
    succeed("export", "bise-demo", "--to", "gguf", directory / "gguf")
    (model,) = (directory / "gguf").rglob("*.gguf")
    command = [program, "--model", str(model), "--port", str(port), "--threads", "2", "--no-ui", "--jinja"]
    with (directory / "llama.log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", directory / "llama.log")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(timeout=30)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        with contextlib.suppress(urllib.error.URLError, OSError):
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


@pytest.fixture(scope="module")
def gateway(llama: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    directory = tmp_path_factory.mktemp("gateway")
    theirs = httpx.get(f"{llama}/models").json()["data"][0]["id"]
    file = directory / "upstreams.toml"
    file.write_text(
        f'[[upstreams]]\nname = "llama"\nurl = "{llama}"\nkind = "llama-server"\n[upstreams.models]\n'
        f"there = {json.dumps(theirs)}\n",
        encoding="utf-8",
    )
    with serve("--upstreams", file, log=directory / "serve.log") as server:
        headers = {"authorization": f"Bearer {client_key()}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=120) as client:
            yield client


ASK = {"model": "there", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0, "max_tokens": 16}


def said(client: httpx.Client, **changes: Any) -> Any:
    response = client.post("/v1/chat/completions", json=ASK | changes)
    assert response.status_code == 200, response.text
    return response.json()


def test_what_it_says_comes_through_whole_and_streamed(gateway: httpx.Client, llama: str) -> None:
    assert [card["id"] for card in gateway.get("/v1/models").json()["data"]] == ["bise-demo", "there"]
    direct = httpx.post(f"{llama}/chat/completions", json=ASK, timeout=120).json()
    whole = said(gateway)
    assert whole["choices"][0]["message"]["content"] == direct["choices"][0]["message"]["content"]
    assert whole["usage"]["completion_tokens"] == direct["usage"]["completion_tokens"]
    text = gateway.post("/v1/chat/completions", json=ASK | {"stream": True}).text
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    streamed = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert streamed == whole["choices"][0]["message"]["content"]


def test_its_own_features_are_reached_in_our_words(gateway: httpx.Client) -> None:
    scored = said(gateway, logprobs=True, top_logprobs=2)["choices"][0]
    assert len(scored["logprobs"]["content"]) >= 1
    schema = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    kept = said(gateway, response_format=wanted, max_tokens=60)["choices"][0]["message"]["content"]
    assert json.loads(kept)["a"] in ("x", "y")
    assert said(gateway, random_seed=3, temperature=1)["choices"] == said(gateway, seed=3, temperature=1)["choices"]
    text = gateway.post("/v1/completions", json={"model": "there", "prompt": "The wind", "max_tokens": 4})
    assert text.json()["choices"][0]["text"]


def test_its_refusals_are_ours(gateway: httpx.Client) -> None:
    long = [{"role": "user", "content": "wind " * 20_000}]
    response = gateway.post("/v1/chat/completions", json=ASK | {"messages": long})
    assert response.status_code == 400
    assert "llama answered 400" in response.json()["error"]["message"]
    lacking = gateway.post("/v1/chat/completions", json=ASK | {"min_tokens": 3})
    assert lacking.status_code == 400
    assert lacking.json()["error"]["param"] == "min_tokens"
