"""Models of the hub, from a stand-in on the loopback interface that speaks the few requests huggingface_hub makes."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bise.errors import InputError, NotFoundError, UnavailableError
from bise.weights.files import open_weights
from bise.weights.formats.detect import open_foreign
from bise.weights.formats.export import Companions, export_model
from bise.weights.hub import HubModel, choose_files, fetch, parse_hub
from tests.random_models import TINY, write_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = HubModel("owner/tiny", None, None)


class Hub(ThreadingHTTPServer):
    """Serves one repository, and remembers what was asked."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.asked: list[tuple[str, str | None]] = []  # path, range
        self.gated = self.is_down = False
        self.break_after: int | None = None  # bytes of an answer

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if self.server.is_down:
            self.refuse(500, {})
            return
        if with_body:
            self.server.asked.append((path, self.headers.get("Range")))
        if path.startswith("/api/models/owner/tiny"):
            self.send(json.dumps(self.info()).encode(), {}, with_body)
            return
        name = path.removeprefix(f"/owner/tiny/resolve/{COMMIT}/")
        if self.server.gated:
            self.refuse(403, {"X-Error-Code": "GatedRepo"})
        elif name not in self.server.files or not path.startswith("/owner/tiny/"):
            self.refuse(404, {"X-Error-Code": "EntryNotFound" if path.startswith("/owner/tiny/") else "RepoNotFound"})
        else:
            body = self.server.files[name]
            etag = hashlib.sha256(body).hexdigest()
            self.send(body, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, with_body)

    def info(self) -> dict[str, object]:
        siblings = [
            {"rfilename": name, "size": len(body), "lfs": {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body),
                                                          "pointerSize": 100}}
            for name, body in self.server.files.items()
        ]  # fmt: skip
        return {"id": "owner/tiny", "modelId": "owner/tiny", "sha": COMMIT, "siblings": siblings, "tags": []}

    def send(self, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        limit = self.server.break_after
        if with_body and limit is not None and len(body) - start > limit:
            self.server.is_down = True
            self.wfile.write(body[start : start + limit])
            self.wfile.flush()
            self.connection.close()
        elif with_body:
            self.wfile.write(body[start:])

    def refuse(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    weights = open_weights(write_model(tmp_path / "ours", TINY))
    export_model(weights, tmp_path / "hf", "hf", Companions("m"))
    files = {path.name: path.read_bytes() for path in (tmp_path / "hf").iterdir()}
    files |= {
        "README.md": b"---\nlicense: apache-2.0\n---\n# Tiny\n",
        "tokenizer.json": b"{}",
        "pytorch_model.bin": b"x",
    }
    server = Hub(files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once_without_files_that_run_code(hub: Hub, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    fetched = fetch(MODEL, tmp_path / "downloads", lambda *done: told.append(done), hub.url)
    assert fetched.origin == f"hf:owner/tiny@{COMMIT}"
    assert {path.name for path in fetched.path.iterdir() if path.is_file()} == set(hub.files) - {"pytorch_model.bin"}
    model = open_foreign(fetched.path)
    assert (model.weights.spec, model.licence) == (TINY, "apache-2.0")
    assert told[-1][0] == told[-1][1]
    hub.asked.clear()
    fetch(MODEL, tmp_path / "downloads", None, hub.url)
    assert not [path for path, _ in hub.asked if "resolve" in path]


def test_a_download_that_broke_off_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.files["model.safetensors"] = bytes(range(256)) * 100_000  # the library writes ten megabytes at once
    hub.break_after = 11_000_000
    with pytest.raises(UnavailableError, match="Type the same command again"):
        fetch(MODEL, tmp_path / "downloads", None, hub.url)
    hub.asked.clear()
    hub.break_after, hub.is_down = None, False
    fetched = fetch(MODEL, tmp_path / "downloads", None, hub.url)
    assert (fetched.path / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert [rest for path, rest in hub.asked if path.endswith("model.safetensors") and rest]


def test_a_gated_model_says_what_to_do(hub: Hub, tmp_path: Path) -> None:
    hub.gated = True
    with pytest.raises(InputError, match=r"behind a form. Open https://huggingface.co/owner/tiny, .* `hf auth login`"):
        fetch(MODEL, tmp_path / "downloads", None, hub.url)


def test_a_config_that_asks_for_code_costs_no_download_of_weights(hub: Hub, tmp_path: Path) -> None:
    config = json.loads(hub.files["config.json"]) | {"auto_map": {"AutoModel": "own.Model"}}
    hub.files["config.json"] = json.dumps(config).encode()
    with pytest.raises(InputError, match="auto_map"):
        fetch(MODEL, tmp_path / "downloads", None, hub.url)
    assert not [path for path, _ in hub.asked if path.endswith(".safetensors")]


def test_what_is_not_there_is_named(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no model owner/other"):
        fetch(HubModel("owner/other", None, None), tmp_path / "downloads", None, hub.url)
    with pytest.raises(UnavailableError, match="Connect to the network"):
        fetch(MODEL, tmp_path / "downloads", None, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("hf:owner/name", HubModel("owner/name", None, None)),
        ("owner/Name-1.5", HubModel("owner/Name-1.5", None, None)),
        ("hf:owner/name@main", HubModel("owner/name", None, "main")),
        ("hf:owner/name/a.Q4_0.gguf@v1", HubModel("owner/name", "a.Q4_0.gguf", "v1")),
        ("hf:owner/name/sub/a.gguf", HubModel("owner/name", "sub/a.gguf", None)),
        ("name", None),
        ("hf:../name", None),
        ("hf:owner/name/../x.gguf", None),
        ("hf:owner/name/x.bin", None),
        ("/absolute/path", None),
    ],
)
def test_addresses(text: str, model: HubModel | None) -> None:
    assert parse_hub(text) == model


def test_one_format_is_chosen() -> None:
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    mistral = ["params.json", "consolidated.safetensors", "tekken.json"]
    both = ["config.json", *shards, *mistral, "pytorch_model.bin", "x.py", "original/model.safetensors"]
    assert set(choose_files(MODEL, both)) == {"config.json", "tekken.json", *shards}
    assert choose_files(MODEL, mistral) == ["params.json", "tekken.json", "consolidated.safetensors"]
    assert choose_files(MODEL, ["README.md", "a.gguf"]) == ["a.gguf"]
    with pytest.raises(NotFoundError, match=r"2 GGUF files. Name one, as in hf:owner/tiny/a\.gguf"):
        choose_files(MODEL, ["a.gguf", "b.gguf"])
    with pytest.raises(NotFoundError, match="no safetensors or GGUF"):
        choose_files(MODEL, ["config.json", "pytorch_model.bin"])
    with pytest.raises(NotFoundError, match=r"It has: a\.gguf"):
        choose_files(HubModel("owner/tiny", "c.gguf", None), ["a.gguf"])
