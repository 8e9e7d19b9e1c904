"""Shards: what was written is what is read, and nothing unfinished or damaged is."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bise.corpus.document import Document
from bise.errors import InputError
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.shards import DOCUMENT_ENDS, INDEX, TOKENS, open_shards, write_shards


@pytest.fixture(scope="module")
def documents(texts: list[str]) -> list[Document]:
    contents = [*texts, "", "half a pair \ud83d"]
    return [Document(str(n), text, "made", "CC0-1.0", ("en", "fr")[n % 2]) for n, text in enumerate(contents)]


@pytest.fixture
def directory(documents: list[Document], tokenizer: ChatTokenizer, tmp_path: Path) -> Path:
    write_shards(documents, tokenizer, tmp_path / "shards")
    return tmp_path / "shards"


def test_every_document_comes_back(documents: list[Document], tokenizer: ChatTokenizer, directory: Path) -> None:
    shards = open_shards(directory)
    starts = [0, *shards.document_ends[:-1]]
    for document, start, end in zip(documents, starts, shards.document_ends, strict=True):
        ids = shards.tokens[start:end].tolist()
        assert ids == [tokenizer.bos_id, *tokenizer.encode(document.text), tokenizer.eos_id]
    assert shards.tokens.dtype == np.dtype("<u2")
    assert shards.document_ends.dtype == np.int64
    assert shards.document_ends[-1] == len(shards.tokens)
    assert shards.tokenizer_sha256 == tokenizer.sha256


def test_the_index_adds_up(documents: list[Document], tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    told: list[int] = []
    write_shards(documents, tokenizer, tmp_path, told.append)
    index = json.loads((tmp_path / INDEX).read_text())
    assert len(told) == index["num_documents"] == len(documents)
    assert sum(told) == index["num_bytes"] == open_shards(tmp_path).num_bytes
    assert index["num_bytes"] == sum(len(d.text.encode("utf-8", "surrogatepass")) for d in documents)
    assert sum(index["languages"].values()) == index["num_tokens"]
    assert set(index["languages"]) == {"en", "fr"}


def test_writing_again_replaces(documents: list[Document], tokenizer: ChatTokenizer, directory: Path) -> None:
    write_shards(documents[:2], tokenizer, directory)
    assert len(open_shards(directory).document_ends) == 2


def test_a_large_vocabulary_takes_32_bits(tmp_path: Path) -> None:
    large: Any = SimpleNamespace(vocab_size=70_000, bos_id=1, eos_id=2, sha256="0", encode=lambda _text: [69_999])
    write_shards([Document("1", "x", "made", "CC0-1.0", "en")], large, tmp_path)
    shards = open_shards(tmp_path)
    assert shards.tokens.dtype == np.dtype("<u4")
    assert shards.tokens.tolist() == [1, 69_999, 2]


def test_an_interrupted_writing_leaves_nothing_to_open(
    documents: list[Document], tokenizer: ChatTokenizer, directory: Path
) -> None:
    def failing() -> Any:
        yield documents[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shards(failing(), tokenizer, directory)
    with pytest.raises(InputError, match="no finished token shards"):
        open_shards(directory)


def test_no_documents_are_refused_in_words(tokenizer: ChatTokenizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no documents"):
        write_shards([], tokenizer, tmp_path)
    with pytest.raises(InputError, match="no finished token shards"):
        open_shards(tmp_path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (TOKENS, cut),
        (TOKENS, Path.unlink),
        (DOCUMENT_ENDS, cut),
        (DOCUMENT_ENDS, Path.unlink),
        (INDEX, cut),
        (INDEX, lambda path: path.write_text("[]")),
        (INDEX, lambda path: path.write_text("{}")),
        (INDEX, lambda path: path.write_text('{"dtype": "float64"}')),
    ],
)
def test_damaged_shards_are_refused_in_words(directory: Path, name: str, damage: Any) -> None:
    damage(directory / name)
    with pytest.raises(InputError, match=r"damaged|must name one of"):
        open_shards(directory)
