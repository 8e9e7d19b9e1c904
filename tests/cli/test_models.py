"""`bise pull`, `bise models` and `bise doctor` print results on stdout, words on stderr, and sentences when wrong."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from bise.cli.main import run
from bise.runs import read_manifest
from bise.weights.files import open_weights
from bise.weights.formats.export import Companions, export_model
from bise.weights.spec import ModelSpec
from tests.random_adapters import write_adapter
from tests.random_models import TINY, write_model
from tests.tokenizer.conftest import TEXTS
from tests.tokenizer.test_hugging_face import make_directory
from tests.weights.test_pull import write_ollama


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))


@pytest.fixture
def source(tmp_path: Path) -> str:
    directory = write_model(tmp_path / "source", TINY)
    (directory / "tekken.json").write_text("{}", encoding="utf-8")
    (directory / "card.md").write_text("# Tiny\n", encoding="utf-8")
    return str(directory)


def bise(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_pull_list_show_remove(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bise("pull", source, "--name", "tiny", "--bits", "8", "--json") == 0
    pulled = json.loads(capsys.readouterr().out)
    assert pulled["parameters"] == ModelSpec.num_parameters(TINY)
    assert pulled["bits"] == 8
    assert bise("models", "list", "--json") == 0
    assert "tiny" in [model["name"] for model in json.loads(capsys.readouterr().out)]
    assert bise("models") == 0
    assert "8-bit weights" in capsys.readouterr().out
    assert bise("models", "show", "tiny") == 0
    assert "# Tiny" in capsys.readouterr().out
    assert bise("models", "show", str(tmp_path / "home/models/tiny"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["card"] == "# Tiny\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert bise("models", "remove", "tiny") == 2
    assert "tiny was kept" in capsys.readouterr().err
    assert bise("models", "remove", "tiny", "--yes") == 0
    assert bise("models", "show", "tiny") == 2


def test_a_stranger_s_tokenizer_is_tried_before_it_is_taken_in(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export_model(open_weights(Path(source)), tmp_path / "small", "hf", Companions("m"))
    make_directory("chatml", tmp_path / "small")
    assert bise("pull", str(tmp_path / "small")) == 2
    assert "has 607 tokens, but the weights know only 97" in capsys.readouterr().err
    large = write_model(tmp_path / "ours", replace(TINY, vocab_size=640))
    export_model(open_weights(large), tmp_path / "theirs", "hf", Companions("m"))
    make_directory("chatml", tmp_path / "theirs")
    assert bise("pull", str(tmp_path / "theirs"), "--name", "good") == 0
    path = tmp_path / "theirs/tokenizer.json"
    charsmap = {"type": "Precompiled", "precompiled_charsmap": "/////w=="}  # eight gigabytes
    path.write_text(json.dumps(json.loads(path.read_text()) | {"normalizer": charsmap}))
    capsys.readouterr()
    assert bise("pull", str(tmp_path / "theirs"), "--name", "bad") == 2
    assert "tokenizer.json is not a tokenizer that can be read" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "home/models").iterdir()] == ["good"]


def test_scales_are_plain_searched_or_calibrated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = replace(TINY, vocab_size=640)
    export_model(open_weights(write_model(tmp_path / "ours", spec)), tmp_path / "theirs", "hf", Companions("m"))
    make_directory("chatml", tmp_path / "theirs")
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXTS), encoding="utf-8")
    weights, found = {}, {}
    for name, options in (("plain", ["--plain"]), ("searched", []), ("calibrated", ["--calibrate", str(text)])):
        arguments = ["--name", name, "--bits", "4", "--compare", str(text), "--json"]
        assert bise("pull", str(tmp_path / "theirs"), *arguments, *options) == 0
        found[name] = json.loads(capsys.readouterr().out)
        path = Path(found[name]["path"])
        weights[name] = (path / "model.safetensors").read_bytes()
        assert read_manifest(path).config["scales"] == name
    assert len(set(weights.values())) == 3
    errors = {name: row["rounding_error"]["layers.0.attention.wq.weight"] for name, row in found.items()}
    assert errors["searched"] < errors["plain"]
    assert 0 < found["calibrated"]["agreement"]["kl_nats"] < found["plain"]["agreement"]["kl_nats"]


def test_what_ollama_has_is_found_taken_in_and_licensed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(TINY, vocab_size=640)
    export_model(open_weights(write_model(tmp_path / "ours", spec)), tmp_path / "hf", "hf", Companions("m"))
    make_directory("chatml", tmp_path / "hf")
    (tmp_path / "hf/README.md").write_text("---\nlicense: apache-2.0\n---\n# Words of its own\n")
    assert bise("pull", str(tmp_path / "hf"), "--name", "first") == 0
    assert bise("export", "first", str(tmp_path / "gguf"), "--to", "gguf") == 0
    write_ollama(tmp_path / "ollama", tmp_path / "gguf/first.gguf", "latest")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    capsys.readouterr()
    assert bise("pull", "--found", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert bise("pull", found["source"], "--name", "theirs", "--json") == 0
    pulled = json.loads(capsys.readouterr().out)
    assert (pulled["bits"], pulled["parents"], pulled["in_place"]) == (32, ["ollama:tiny:latest"], found["path"])
    assert pulled["licence"] == "LLAMA 3.2 COMMUNITY LICENSE"
    assert bise("export", "first", str(tmp_path / "again"), "--to", "hf") == 0
    readme = (tmp_path / "again/README.md").read_text()
    assert readme.startswith("---\nlicense: apache-2.0\n---\n")
    assert "Words of its own" in readme


def test_an_adapter_is_pulled_listed_shown_and_removed(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bise("pull", source, "--name", "tiny") == 0
    adapter = str(write_adapter(tmp_path / "adapter", TINY, rank=3))
    capsys.readouterr()
    assert bise("pull", adapter, "--name", "tiny:polite", "--json") == 0
    pulled = json.loads(capsys.readouterr().out)
    assert (pulled["name"], pulled["rank"]) == ("tiny:polite", 3)
    assert bise("models", "list", "--json") == 0
    models = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert models["tiny"]["adapters"] == [pulled]
    assert bise("models") == 0
    assert "\n  tiny:polite" in capsys.readouterr().out
    assert bise("models", "show", "tiny") == 0
    assert "tiny:polite" in capsys.readouterr().out
    assert bise("models", "show", "tiny:polite") == 0
    assert "adapter of rank 3 on wq, wk" in capsys.readouterr().out
    assert bise("models", "show", "tiny:polite", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rank"] == 3
    assert bise("serve", "--model", "tiny:polite") == 2
    assert "bise serve --model tiny" in capsys.readouterr().err
    assert bise("models", "remove", "tiny", "--yes") == 0
    assert "Its adapters are kept: tiny:polite." in capsys.readouterr().err
    assert bise("models") == 0
    assert "not here" in capsys.readouterr().out
    assert bise("models", "remove", "tiny:polite", "--json", "--yes") == 0
    assert json.loads(capsys.readouterr().out) == {"removed": str(tmp_path / "home/adapters/tiny/polite")}
    assert bise("models") == 0
    assert "tiny" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["models", "show", "nothing"], "no model named nothing"),
        (["models", "remove", "../x"], "not a model's name"),
        (["pull", "nowhere", "--name", "x"], "nothing at nowhere"),
        (["pull", "nowhere", "--name", "x", "--bits", "5"], "5"),
        (["pull", "nowhere", "--name", "bise-demo:x"], "no directory at nowhere"),
        (["pull", "nowhere", "--name", "bise-demo:x", "--bits", "8"], "--bits"),
        (["pull", "nowhere", "--name", "nothing:x"], "no model named nothing"),
        (["pull", "nowhere", "--plain"], "Add --bits 4"),
        (["pull", "nowhere", "--bits", "8", "--calibrate", __file__], "Add --bits 4"),
        (["pull", "nowhere", "--bits", "4", "--plain", "--calibrate", __file__], "Give one of them"),
        (["models", "show", "bise-demo:x"], "has none here"),
        (["models", "remove", "bise-demo:x"], "has none here"),
        (["ask", "-m", "bise-demo:x", "Hello"], "has none here"),
        (["ask", "-m", "bise-demo:", "Hello"], "not an adapter's name"),
        (["ask", "--schema", "nowhere.json", "Hello"], "nowhere.json cannot be read"),
        (["ask", "--schema", __file__, "Hello"], "is not JSON"),
        (["pull"], "Name a source"),
        (["pull", "ollama:nothing"], "no model ollama:nothing on this disk"),
        (["export", "nothing", "out", "--to", "hf"], "no model named nothing"),
    ],
)
def test_mistakes_are_sentences(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bise(*arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_doctor_says_what_is_here_and_what_is_missing(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bise("doctor", "--warm", "--json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["kernels"] == "numba"
    assert findings["kernels_compiled"]
    assert findings["cores"] >= 1
    assert bise("pull", source, "--name", "tiny") == 0
    capsys.readouterr()
    assert bise("doctor") == 0
    words = capsys.readouterr().out
    assert "tiny" in words
    assert "There is no model." not in words


def test_doctor_names_the_slow_path(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    numba = pytest.importorskip("numba")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert bise("doctor", "--json") == 0
    findings = json.loads(capsys.readouterr().out)
    assert findings["kernels"] == "numpy"
    assert any("NUMBA_DISABLE_JIT" in sentence for sentence in findings["missing"])
