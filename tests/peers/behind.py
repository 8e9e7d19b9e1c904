"""Another program's server behind ours."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from tests.command import client_key, serve

ASK = {"model": "there", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0, "max_tokens": 16}


@contextlib.contextmanager
def running(
    command: Sequence[str], health: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Another server, until the block ends, from when `health` answers."""
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment)
        try:
            _wait(process, health, log)
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text(encoding="utf-8")[-3000:]
        with contextlib.suppress(urllib.error.URLError, OSError):
            if urllib.request.urlopen(url, timeout=5).status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text(encoding="utf-8")[-3000:])


@contextlib.contextmanager
def gateway_to(url: str, kind: str, directory: Path) -> Iterator[httpx.Client]:
    """A client of `bise serve`, which offers the one model of the server at `url` as "there"."""
    theirs = httpx.get(f"{url}/models").json()["data"][0]["id"]
    file = directory / "upstreams.toml"
    file.write_text(
        f'[[upstreams]]\nname = "other"\nurl = "{url}"\nkind = "{kind}"\n[upstreams.models]\nthere = {json.dumps(theirs)}\n',
        encoding="utf-8",
    )
    with serve("--upstreams", file, log=directory / "serve.log") as server:
        headers = {"authorization": f"Bearer {client_key()}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=120) as client:
            yield client


def said(client: httpx.Client, **changes: Any) -> Any:
    """The whole answer to ASK with some changes."""
    response = client.post("/v1/chat/completions", json=ASK | changes)
    assert response.status_code == 200, response.text
    return response.json()


def streamed(client: httpx.Client, **changes: Any) -> str:
    """The text of the same answer as a stream."""
    text = client.post("/v1/chat/completions", json=ASK | {"stream": True} | changes).text
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def check_answers(client: httpx.Client, url: str) -> None:
    """What the other server says comes through, whole and streamed."""
    theirs = httpx.get(f"{url}/models").json()["data"][0]["id"]
    assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["bise-demo", "there"]
    direct = httpx.post(f"{url}/chat/completions", json=ASK | {"model": theirs}, timeout=120).json()
    whole = said(client)
    assert whole["choices"][0]["message"]["content"] == direct["choices"][0]["message"]["content"] != ""
    assert whole["usage"]["completion_tokens"] == direct["usage"]["completion_tokens"]
    assert streamed(client) == whole["choices"][0]["message"]["content"]


def check_features(client: httpx.Client) -> None:
    """Its features are reached in our words: scores, schemas, seeds, completions."""
    scored = said(client, logprobs=True, top_logprobs=2)["choices"][0]
    assert len(scored["logprobs"]["content"]) >= 1
    # No object: vLLM allows any white space in one, and a small model likes it.
    wanted = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"enum": ["x", "y"]}}}
    kept = said(client, response_format=wanted, max_tokens=60)["choices"][0]["message"]["content"]
    assert json.loads(kept) in ("x", "y")
    assert said(client, random_seed=3, temperature=1)["choices"] == said(client, seed=3, temperature=1)["choices"]
    text = client.post("/v1/completions", json={"model": "there", "prompt": "The wind", "max_tokens": 4})
    assert text.json()["choices"][0]["text"]


def check_refusal(client: httpx.Client) -> None:
    """What it refuses is refused by us with its words."""
    long = [{"role": "user", "content": "wind " * 20_000}]
    response = client.post("/v1/chat/completions", json=ASK | {"messages": long})
    assert response.status_code == 400
    assert "other answered 400" in response.json()["error"]["message"]
