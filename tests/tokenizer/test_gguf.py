"""Vocabularies of GGUF files: the same ids as the tokenizers that their arrays were made from."""

import json
from pathlib import Path
from typing import Any

import mistral_common
import numpy as np
import pytest
from sentencepiece import SentencePieceProcessor

from bise.errors import InputError
from bise.gguf import write_gguf
from bise.messages import Conversation, Message
from bise.tokenizer.chat import ChatTokenizer
from tests.tokenizer.conftest import HOSTILE, TEXTS
from tests.tokenizer.test_hugging_face import CHATML, SPOKEN, make_directory

SENTENCEPIECE = Path(mistral_common.__file__).parent / "data" / "mistral_instruct_tokenizer_240323.model.v3"
GGML = "tokenizer.ggml."


def byte_level_arrays(directory: Path) -> dict[str, Any]:
    """The arrays of a byte-level tokenizer.json."""
    table = json.loads((directory / "tokenizer.json").read_text())
    added = {entry["content"]: entry for entry in table["added_tokens"]}
    ids = {**table["model"]["vocab"], **{name: entry["id"] for name, entry in added.items()}}
    names = sorted(ids, key=lambda name: ids[name])
    kinds = [(3 if added[name]["special"] else 4) if name in added else 1 for name in names]
    return {
        GGML + "model": "gpt2",
        GGML + "pre": "gpt-2",
        GGML + "tokens": names,
        GGML + "token_type": np.array(kinds, np.int32),
        GGML + "merges": [" ".join(merge) for merge in table["model"]["merges"]],
        GGML + "eos_token_id": names.index("<|endoftext|>"),
        "tokenizer.chat_template": CHATML,
    }


def sentencepiece_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a SentencePiece file."""
    pieces = SentencePieceProcessor(model_file=str(path))
    ids = range(pieces.vocab_size())
    kinds = [2 if pieces.IsUnknown(i) else 3 if pieces.IsControl(i) else 6 if pieces.IsByte(i) else 1 for i in ids]
    return {
        GGML + "model": "llama",
        GGML + "tokens": [pieces.id_to_piece(i) for i in ids],
        GGML + "scores": np.array([pieces.get_score(i) for i in ids], np.float32),
        GGML + "token_type": np.array(kinds, np.int32),
        GGML + "bos_token_id": pieces.bos_id(),
        GGML + "eos_token_id": pieces.eos_id(),
        GGML + "unknown_token_id": pieces.unk_id(),
    }


def write(path: Path, arrays: dict[str, Any]) -> Path:
    write_gguf(path, arrays, {})
    return path


def test_byte_level_pairs(tmp_path: Path) -> None:
    directory = make_directory("chatml", tmp_path)
    expected = ChatTokenizer.load(directory)
    ours = ChatTokenizer.load(write(tmp_path / "any.gguf", byte_level_arrays(directory)))
    for text in [*TEXTS[:14], *HOSTILE, SPOKEN]:
        assert ours.encode(text) == expected.encode(text)
    asked = Conversation((Message("user", SPOKEN),))
    assert ours.render(asked, for_completion=True).ids == expected.render(asked, for_completion=True).ids
    assert ours.control_tokens() == expected.control_tokens()
    assert [ours.token_name(token) for token in ours.stop_ids] == ["<|endoftext|>", "<|im_end|>"]


@pytest.mark.parametrize(
    ("name", "usual"), [("llama3", "llama-bpe"), ("deepseek-r1-qwen", "qwen2"), ("smaug-bpe", "llama-bpe")]
)
def test_other_names_of_a_cutter(tmp_path: Path, name: str, usual: str) -> None:
    arrays = byte_level_arrays(make_directory("chatml", tmp_path))
    ours, expected = (
        ChatTokenizer.load(write(tmp_path / f"{pre}.gguf", arrays | {GGML + "pre": pre})) for pre in (name, usual)
    )
    for text in [*TEXTS[:14], *HOSTILE]:
        assert ours.encode(text) == expected.encode(text)


@pytest.mark.slow
def test_sentencepiece_pairs(tmp_path: Path) -> None:
    expected = ChatTokenizer.load(SENTENCEPIECE)
    write(tmp_path / "tokenizer.gguf", sentencepiece_arrays(SENTENCEPIECE))
    ours = ChatTokenizer.load(tmp_path)
    for text in [*TEXTS, *HOSTILE, SPOKEN]:
        assert ours.encode(text) == expected.encode(text)
        assert ours.decode(ours.encode(text)) == text
    assert [ours.token_bytes(token) for token in range(ours.vocab_size)] == [
        expected.token_bytes(token) for token in range(expected.vocab_size)
    ]
    assert (ours.bos_id, ours.stop_ids) == (expected.bos_id, expected.stop_ids)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({GGML + "model": "bert"}, "kind 'bert'. Bise reads gpt2 and llama"),
        ({GGML + "pre": "falcon"}, "cuts text as 'falcon'. Bise knows llama-bpe"),
        ({GGML + "merges": 3}, "no merges"),
        ({GGML + "tokens": 3}, "no vocabulary"),
        ({GGML + "token_type": np.array([1], np.int32)}, "tokens with 1 types"),
        ({GGML + "eos_token_id": 1_000_000}, "no eos_token"),
        ({GGML + "model": "llama"}, "no scores"),
        ({GGML + "merges": ["x y z"]}, "not a tokenizer that can be read"),
    ],
)
def test_what_cannot_be_read_is_a_sentence(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    arrays = byte_level_arrays(make_directory("chatml", tmp_path)) | change
    if GGML + "eos_token_id" in change:
        arrays[GGML + "tokens"] = [name.replace("<|", "<") for name in arrays[GGML + "tokens"]]
    with pytest.raises(InputError, match=words):
        ChatTokenizer.load(write(tmp_path / "any.gguf", arrays))
