"""Models of other programs enter the store checked and whole; a pull that was killed goes on; hostile ones are sentences."""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.config import home
from bise.errors import InputError, NotFoundError
from bise.gguf import open_gguf, write_gguf
from bise.runs import read_manifest
from bise.weights import store
from bise.weights.examine import examine
from bise.weights.files import open_weights
from bise.weights.formats.detect import open_foreign
from bise.weights.formats.export import Companions, export_model
from bise.weights.places import find_in_place, found_models
from bise.weights.pull import Source, pull, read_errors, suggested_name
from bise.weights.quantise import rounding_error
from tests.random_models import TINY, random_tensors, write_model
from tests.weights.formats.logits import our_logits, prompt

VOCABULARY = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.tokens": [f"token {index}" for index in range(TINY.vocab_size)],
    "tokenizer.chat_template": "{{ messages }}",
}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)


def write_foreign(tmp_path: Path, to: str, precision: str | None = None) -> Path:
    """A model of another program: a directory, or a GGUF file."""
    directory = write_model(tmp_path / "ours", TINY)
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}", encoding="utf-8")
    weights = open_weights(directory)
    if precision:
        from bise.weights.quantise import convert

        convert(weights, tmp_path / "rounded", precision)
        weights = open_weights(tmp_path / "rounded")
    export_model(weights, tmp_path / to, to, Companions("m", (tokenizer,), metadata=VOCABULARY))
    return tmp_path / to / "m.gguf" if to == "gguf" else tmp_path / to


@pytest.mark.parametrize("to", ["hf", "mistral", "gguf"])
@pytest.mark.parametrize("precision", [None, "4", "mixed", "8", "16"])
def test_every_format_becomes_a_model(tmp_path: Path, to: str, precision: str | None) -> None:
    path = write_foreign(tmp_path, to)
    pulled = pull(Source(path, licence="mit"), "mine", precision)
    weights = open_weights(pulled.path)
    expected = our_logits(open_weights(tmp_path / "ours"), prompt(TINY.vocab_size))
    found = our_logits(weights, prompt(TINY.vocab_size))
    tolerance = {None: 1e-6, "16": 0.05, "8": 0.2}.get(precision, 0.8)
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    manifest = read_manifest(pulled.path)
    assert manifest.facts["licence"] == "mit"
    assert manifest.inputs[0].kind == "file"
    assert (pulled.path / ("tokenizer.gguf" if to == "gguf" else "tokenizer.json")).is_file()
    assert "Licence: mit" in store.read_card(pulled.path)
    described = store.describe(pulled.path)
    assert "licence mit" in described.summary()
    assert bool(pulled.errors) == (precision in ("4", "mixed", "8"))


def test_the_error_of_each_matrix_is_reported(tmp_path: Path) -> None:
    pulled = pull(Source(write_foreign(tmp_path, "hf")), "mine", "4")
    matrices = {name for name, shape in TINY.tensor_shapes().items() if len(shape) == 2}
    assert pulled.errors.keys() == matrices
    exact, rounded = open_weights(tmp_path / "ours"), open_weights(pulled.path)
    for name, error in pulled.errors.items():
        assert error == pytest.approx(rounding_error(exact, rounded, name).relative, abs=1e-5)
    assert pulled.errors["tok_embeddings.weight"] < 0.01 < pulled.errors["output.weight"] < 0.15


def test_the_vocabulary_of_a_gguf_file_is_kept(tmp_path: Path) -> None:
    pulled = pull(Source(write_foreign(tmp_path, "gguf")), "mine")
    header, _ = open_gguf(pulled.path / "tokenizer.gguf")
    assert header.metadata == VOCABULARY


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "hf")
    (path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="nobody could talk to it"):
        pull(Source(path), "mine")
    assert not list(store.models_directory().iterdir())


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Source(Path("/models/Mistral-7B.Q4_0.gguf")), "Mistral-7B.Q4_0"),
        (Source(Path("x"), "hf:owner/Name-1@abc"), "Name-1"),
        (Source(Path("x"), "ollama:llama3.2:1b"), "llama3.2-1b"),
        (Source(Path("x"), "lmstudio:a/b/Ünicode model.gguf"), "nicode-model"),
    ],
)
def test_a_name_is_taken_from_the_address(source: Source, name: str) -> None:
    assert suggested_name(source) == name


KILLED = """
import os, signal, sys
from pathlib import Path
from bise.weights import tensor_file
from bise.weights.pull import Source, pull

# Noted after every tensor, as it is after every gigabyte of a large model.
writer = tensor_file.write_parts.__defaults__
tensor_file.write_parts.__defaults__ = (0, 1)

def progress(done, total):
    if done >= float(sys.argv[3]) * total:
        os.kill(os.getpid(), signal.SIGKILL)

pull(Source(Path(sys.argv[1])), "mine", sys.argv[2], progress=progress)
"""


@pytest.mark.parametrize("share", [0.3, 0.7, 1.0])
def test_a_killed_pull_leaves_nothing_half_installed_and_goes_on(tmp_path: Path, share: float) -> None:
    path = write_foreign(tmp_path, "hf")
    whole = pull(Source(path), "whole", "4")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), "4", str(share)], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    assert [model.name for model in store.list_models() if not model.shipped] == ["whole"]
    assert store.unfinished() == ["mine"]
    first = []
    pulled = pull(Source(path), "mine", "4", progress=lambda done, total: first.append(done / total))
    assert first[0] > share / 2  # what was written before is not written again
    assert (pulled.path / "model.safetensors").read_bytes() == (whole.path / "model.safetensors").read_bytes()
    assert read_errors(pulled.path) == pytest.approx(read_errors(whole.path), abs=1e-5)
    assert {path.name for path in pulled.path.iterdir()} == {path.name for path in whole.path.iterdir()}
    assert store.unfinished() == []


def test_another_pull_does_not_go_on_with_what_was_left(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "hf")
    subprocess.run([sys.executable, "-c", KILLED, str(path), "4", "0.7"], check=False, timeout=100)
    pulled = pull(Source(path), "mine", "8")
    assert open_weights(pulled.path).spec.matrix_bits("output.weight") == 8
    subprocess.run([sys.executable, "-c", KILLED, str(path), "4", "0.7"], check=False, timeout=100)
    store.remove_model("mine")
    with pytest.raises(NotFoundError):
        store.find_model("mine")


def test_two_pulls_of_one_name_do_not_meet(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "hf")
    inside, leave = threading.Event(), threading.Event()

    def wait(done: int, total: int) -> None:
        inside.set()
        leave.wait(60)

    first = threading.Thread(target=pull, args=(Source(path), "mine", "8", None, wait))
    first.start()
    inside.wait(60)
    with pytest.raises(InputError, match="Another process is taking in mine"):
        pull(Source(path), "mine", "8")
    leave.set()
    first.join()
    assert store.find_model("mine").is_dir()


def write_ollama(root: Path, model: Path, tag: str = "1b") -> Path:
    blob = root / "blobs" / ("sha256-" + "a" * 64)
    blob.parent.mkdir(parents=True)
    model.rename(blob)
    licence = root / "blobs" / ("sha256-" + "b" * 64)
    licence.write_text("\nLLAMA 3.2 COMMUNITY LICENSE\nmore\n", encoding="utf-8")
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + "a" * 64},
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "b" * 64},
    ]
    manifest = root / "manifests/registry.ollama.ai/library/tiny" / tag
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": layers}), encoding="utf-8")
    return blob


def test_what_ollama_has_is_used_where_it_lies(tmp_path: Path) -> None:
    root = tmp_path / "user/.ollama/models"
    blob = write_ollama(root, write_foreign(tmp_path, "gguf", "mixed"), "latest")
    for damaged in ("[", "[]", '{"layers": 3}', '{"layers": [{"mediaType": "x", "digest": "../../x"}]}'):
        (root / f"manifests/registry.ollama.ai/library/tiny/{len(damaged)}").write_text(damaged, encoding="utf-8")
    (model,) = found_models()
    assert (model.source, model.path, model.licence) == ("ollama:tiny:latest", blob, "LLAMA 3.2 COMMUNITY LICENSE")
    assert find_in_place("ollama:tiny") == model
    with pytest.raises(NotFoundError, match="Found here: ollama:tiny:latest"):
        find_in_place("ollama:other")
    pulled = pull(Source(model.path, model.source, in_place=True), "tiny")
    assert sum(path.stat().st_size for path in pulled.path.iterdir()) < 10_000
    weights = open_weights(pulled.path)
    expected = our_logits(open_weights(tmp_path / "rounded"), prompt(TINY.vocab_size))
    np.testing.assert_array_equal(our_logits(weights, prompt(TINY.vocab_size)), expected)
    described = store.describe(pulled.path)
    assert described.in_place == blob
    assert described.size_bytes > blob.stat().st_size
    store.remove_model("tiny")
    assert blob.is_file()


def test_a_file_in_place_that_changes_or_goes_is_told(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "gguf", "8")
    pulled = pull(Source(path, in_place=True), "tiny")
    path.touch()
    with pytest.raises(InputError, match="were changed since"):
        open_weights(pulled.path)
    assert "changed" in (store.describe(pulled.path).problem or "")
    path.unlink()
    with pytest.raises(InputError, match="are gone"):
        open_weights(pulled.path)


def test_what_lm_studio_has_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "user/.lmstudio/models/owner/repo"
    folder.mkdir(parents=True)
    write_foreign(tmp_path, "gguf").rename(folder / "tiny-Q8_0.gguf")
    (folder / "mmproj-tiny.gguf").touch()
    (model,) = found_models()
    assert model.source == "lmstudio:owner/repo/tiny-Q8_0.gguf"


def test_a_stranger_s_file_is_opened_in_a_child_with_little_memory(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "gguf")
    examine(path)
    write_gguf(tmp_path / "bad.gguf", {"general.architecture": "mamba"}, {})
    with pytest.raises(InputError, match="architecture 'mamba'"):
        examine(tmp_path / "bad.gguf")
    with pytest.raises(NotFoundError):
        examine(tmp_path / "none")


def test_a_bomb_of_strings_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    """Many arrays, each within its bound, that together would take gigabytes."""
    array = ["x" * 30] * 500_000
    write_gguf(tmp_path / "bomb.gguf", {f"k{index}": array for index in range(24)}, {})
    started = time.monotonic()
    with pytest.raises(InputError, match=r"was refused: its headers could not be read with 0\.2 GB"):
        examine(tmp_path / "bomb.gguf", memory_bytes=200 << 20)
    assert time.monotonic() - started < 60


def test_integers_out_of_range_are_refused(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "gguf", "8")
    header, _ = open_gguf(path)
    with path.open("r+b") as file:
        file.seek(header.tensors["blk.0.attn_q.weight"].start + 2)
        file.write(b"\x80")
    for in_place in (False, True):
        with pytest.raises(InputError, match="holds -128"):
            pull(Source(path, in_place=in_place), "mine")


def test_sizes_of_the_mixed_precision(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    directory = write_model(tmp_path / "plain", TINY, tensors)
    (directory / "tekken.json").write_text("{}", encoding="utf-8")
    weights = open_weights(pull(Source(directory), "mine", "mixed").path)
    assert weights.spec.matrix_bits("output.weight") == 8
    assert weights.spec.matrix_bits("layers.0.attention.wq.weight") == 4
    tied = write_model(tmp_path / "tied", replace(TINY, tied_embeddings=True))
    (tied / "tekken.json").write_text("{}", encoding="utf-8")
    quantisation = open_weights(pull(Source(tied), "tied", "mixed").path).spec.quantisation
    assert quantisation is not None
    assert quantisation.eight_bits == ()


def test_open_foreign_and_the_store_agree(tmp_path: Path) -> None:
    path = write_foreign(tmp_path, "gguf", "mixed")
    stored = open_weights(pull(Source(path), "mine").path)
    foreign = open_foreign(path).weights
    assert stored.spec == foreign.spec
    assert (home() / "models/mine").is_dir()
