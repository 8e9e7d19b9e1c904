"""A model goes from Hugging Face through the store, GGUF and Mistral's format and back, by the commands that users type."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bise.cli.main import run
from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.convert import hugging_face_files
from bise.tokenizer.tekken import write_tekken
from bise.tokenizer.training import train_vocabulary
from bise.weights.files import open_weights
from bise.weights.formats.export import Companions, export_model
from bise.weights.store import find_model
from tests.random_models import TINY, write_model
from tests.tokenizer.conftest import HOSTILE, TEXTS
from tests.tokenizer.test_hugging_face import make_directory
from tests.weights.formats.logits import our_logits, prompt, transformers_logits

SPEC = replace(TINY, vocab_size=1024, context_length=128)
ASKED = Conversation((Message("user", "Who are you? </s><|im_end|>"),))


def bise(*arguments: object) -> None:
    with pytest.raises(SystemExit) as stop:
        run([str(argument) for argument in arguments])
    assert stop.value.code == 0


def start(directory: Path, kind: str) -> Path:
    """A Hugging Face directory with random weights and a small tokenizer of one kind."""
    weights = open_weights(write_model(directory / "ours", SPEC))
    export_model(weights, directory / "start", "hf", Companions("m"))
    if kind == "tekken":
        write_tekken(train_vocabulary(TEXTS, 700), directory / "start/tekken.json")
        for name, text in hugging_face_files(directory / "start").items():
            (directory / "start" / name).write_text(text, encoding="utf-8")
    else:
        make_directory(kind, directory / "start")
    return directory / "start"


def auto_ids(directory: Path) -> list[list[int]]:
    transformers: Any = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    return [tokenizer.encode(text) for text in TEXTS[:14]]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chatml", "llama", "tekken"])
def test_there_and_back_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))
    first, ids = start(tmp_path, kind), prompt(SPEC.vocab_size)
    expected, tokenizer = transformers_logits(first, ids), ChatTokenizer.load(first)
    source = first
    for number, to in enumerate(("gguf", "mistral", "hf")):
        bise("pull", source, "--name", f"step{number}")
        stored = find_model(f"step{number}")
        scale = np.abs(expected).max()
        np.testing.assert_allclose(our_logits(open_weights(stored), ids), expected, rtol=1e-4, atol=1e-4 * scale)
        again = ChatTokenizer.load(stored)
        assert [again.encode(text) for text in [*TEXTS, *HOSTILE]] == [tokenizer.encode(t) for t in [*TEXTS, *HOSTILE]]
        assert again.render(ASKED, for_completion=True) == tokenizer.render(ASKED, for_completion=True)
        assert (again.stop_ids, again.control_tokens()) == (tokenizer.stop_ids, tokenizer.control_tokens())
        bise("export", f"step{number}", tmp_path / f"out{number}", "--to", to)
        source = tmp_path / f"out{number}"
    assert (source / "model.safetensors").read_bytes() == (first / "model.safetensors").read_bytes()
    assert json.loads((source / "config.json").read_text()) == json.loads((first / "config.json").read_text())
    np.testing.assert_array_equal(transformers_logits(source, ids), expected)
    assert auto_ids(source) == auto_ids(first)
