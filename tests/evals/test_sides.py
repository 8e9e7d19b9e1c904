"""`bise compare` on real servers: a model beside itself, beside a damaged copy, and beside an API."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from bise.cli.main import run
from bise.evals.target import Target
from bise.weights.files import open_weights
from bise.weights.store import shipped_directory
from tests.random_models import write_model

NOUNS = ("wind", "lake", "boat", "hill", "baker", "letter", "garden", "winter", "bridge", "market")
SENTENCE = "On day {} the {} by the {} was quiet, and nobody had seen the {} since the evening before."
TEXTS = [SENTENCE.format(n, NOUNS[n % 10], NOUNS[(n * 3 + 1) % 10], NOUNS[(n * 7 + 2) % 10]) for n in range(24)]


@pytest.fixture
def texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "texts"
    directory.mkdir()
    lines = [json.dumps({"text": text}) for text in TEXTS]
    (directory / "en.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return directory


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demonstration model with noise on its matrices, in 16 bits."""
    weights, noise = open_weights(shipped_directory()), np.random.default_rng(0)
    spec = replace(weights.spec, quantisation=None)
    tensors = {name: weights.tensor(name) for name in spec.tensor_shapes()}
    for name, tensor in tensors.items():
        if tensor.ndim == 2:
            tensors[name] = tensor + noise.normal(0, 0.4 * tensor.std(), tensor.shape).astype(np.float32)
    directory = write_model(tmp_path_factory.mktemp("models") / "damaged", spec, tensors)
    shutil.copy(shipped_directory() / "tekken.json", directory)
    return directory


def compare(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as end:
        run(["compare", *map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.slow
def test_a_model_passes_beside_itself_and_damage_does_not(
    texts: Path, damaged: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = ("bits-per-byte", "--set", f"data.texts={texts}", "--fail-if-worse")
    assert compare("bise-demo", "bise-demo", *gate, "--set", "gate.bits_per_byte=0.005") == 0
    assert "no difference shown: equal on all items" in capsys.readouterr().out
    assert compare("bise-demo", damaged, *gate, "--json") == 1
    told = capsys.readouterr()
    (task,) = json.loads(told.out)["tasks"]
    assert (task["verdict"], task["difference"]["num_items"]) == ("worse", 24)
    assert "Worse: bits-per-byte-en is worse by" in told.err
    # What was measured is measured no more, and the directories themselves can be compared.
    a, b = (next(Path("runs/eval").glob(f"{name}-*")) for name in ("bise-demo", "damaged"))
    assert compare(a, b, "--fail-if-worse", "--json") == 1
    assert json.loads(capsys.readouterr().out)["tasks"] == [task]
    assert compare(b, a, "--fail-if-worse") == 0
    assert compare(a, b, "bits-per-byte") == 2
    assert "both measured before" in capsys.readouterr().err


@pytest.mark.slow
def test_an_api_is_a_side_and_its_key_stays_secret(
    target: Target, texts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("THEIR_KEY", target.key)
    remote = ("--set", f"b.url={target.url}", "--set", "b.key_env=THEIR_KEY", "--set", "b.price.prompt=2.5")
    shared = ("bits-per-byte", "--set", f"data.texts={texts}", "--set", "b.name=theirs", "--json")
    assert compare("bise-demo", "bise-demo", *shared, *remote) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["second"]["kind"], found["second"]["url"]) == ("remote", target.url)
    assert found["tasks"][0]["verdict"] == "no difference shown"
    assert found["costs"][0] == ""
    assert float(found["costs"][1].removesuffix(" EUR")) > 0
    assert found["dates"][1] >= "2026"
    written = [path.read_text(encoding="utf-8") for path in Path("runs").rglob("*") if path.is_file()]
    assert written
    assert not any(target.key in text for text in written)


def test_divergence_is_of_models_of_the_store(texts: Path, damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = ("--text", texts / "en.jsonl", "--set", "limit=6")
    assert compare("bise-demo", damaged, *text, "--set", "gate.kl_nats=0.1", "--fail-if-worse", "--json") == 1
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["divergence"]["kl_nats"]["value"] > 0.1
    assert found["divergence"]["num_texts"] == 6
    assert "reaches beyond gate.kl_nats=0.1" in told.err
    even = ("--set", "gate.kl_nats=0", "--fail-if-worse", "--report", "page.html")
    assert compare("bise-demo", "bise-demo", *text, *even) == 0
    assert "Token by token" in Path("page.html").read_text(encoding="utf-8")
    assert compare("bise-demo", "gpt", *text, "--set", "b.url=http://127.0.0.1:9/v1") == 2
    assert "gpt is behind an API" in capsys.readouterr().err
    assert compare("bise-demo", "bise-demo", "--text", "nowhere.txt") == 2
    assert "There is no file nowhere.txt" in capsys.readouterr().err


def test_a_plain_text_is_cut_at_empty_lines(texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = texts / "plain.txt"
    plain.write_text("\n\n".join(TEXTS), encoding="utf-8")
    assert compare("bise-demo", "bise-demo", "--text", plain, "--json") == 0
    pieces = json.loads(capsys.readouterr().out)["divergence"]
    assert pieces["num_texts"] == 3
    assert pieces["num_bytes"] == pytest.approx(sum(map(len, TEXTS)), abs=50)


class _ChatOnly(BaseHTTPRequestHandler):
    """An API of a large company: models and chats, and nothing of prompts' probabilities."""

    def do_GET(self) -> None:
        self._answer(200, {"data": [{"id": "large-1"}]})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(404, {"error": {"message": "unknown route"}})

    def _answer(self, status: int, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def chat_only() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _ChatOnly)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_api_that_only_writes_is_not_asked_for_likelihoods(
    chat_only: str, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = compare(
        "bise-demo", "large-1", "bits-per-byte", "--set", f"data.texts={texts}", "--set", f"b.url={chat_only}"
    )
    assert code == 2
    told = capsys.readouterr().err
    assert "Left out, as large-1 tells no probabilities of a prompt's tokens: bits-per-byte" in told
    assert "Nothing is left to compare large-1 on" in told


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("name=x", "Set a.name and b.name"),
        ("price.prompt=1", "b.price.prompt"),
        ("gate.acc=-1", "must not be below 0"),
        ("gates=1", "Known keys here"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(
    setting: str, message: str, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("bise-demo", "bise-demo", "bits-per-byte", "--set", setting) == 2
    assert message in capsys.readouterr().err


def test_without_anything_to_compare_on_the_suites_are_listed(texts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compare("bise-demo", "bise-demo") == 2
    assert "bits-per-byte" in capsys.readouterr().err
