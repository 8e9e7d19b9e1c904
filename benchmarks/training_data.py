"""Real text as token shards for training_vs_peers.py, made once and kept.

Everything is cut from the same documents by the shipped model's tokenizer: shards for us, their plain stream of ids for
the peers, and held-out documents, one a row, that every program is measured on.
"""

import hashlib
import json
import lzma
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bise.corpus.document import Document
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.shards import open_shards, write_shards
from bise.train.evaluation import token_sizes
from bise.train.loader import cut
from bise.weights.store import DEFAULT_MODEL, find_model

ROW_LENGTH = 512
_HELD_OUT_ROWS = 48
_MAX_BYTES = 12_000_000  # of text: more than any run here reads
_PER_SOURCE = 1_500_000
_SOURCES = ("storybooks", "plainlanguage", "18f-blog", "us-speeches", "datenanfragen", "vue-docs", "roman18", "eltec-*")
_LANGUAGES = ("en", "fr", "de", "es", "it")


def prepare(data: Path | None, cache: Path) -> Path:
    """A directory with `train/` (shards) and `held_out.npz`.

    Args:
        data: folders of sources with JSON lines, packed by xz or not; none: the small texts of the repository's tests.
        cache: where prepared data is kept.
    """
    root = data / "pretrain" if data else Path(__file__).parents[1] / "tests" / "data" / "raw"
    model = find_model(DEFAULT_MODEL)
    tokenizer = ChatTokenizer.load(model)
    key = hashlib.sha256(json.dumps([str(root), _SOURCES, _MAX_BYTES, _PER_SOURCE, tokenizer.sha256]).encode())
    directory = cache / "training" / key.hexdigest()[:12]
    if (directory / "held_out.npz").exists():
        return directory
    documents = list(_documents(root, has_sources=data is not None))
    held_out = [document for document in documents if _is_held_out(document)]
    write_shards([document for document in documents if not _is_held_out(document)], tokenizer, directory / "train")
    write_shards(held_out, tokenizer, directory / "held_out")
    rows, sizes = _held_out_rows(directory / "held_out"), token_sizes(tokenizer).numpy()
    np.savez(directory / "held_out.npz", rows=rows, sizes=sizes)
    return directory


def _documents(root: Path, has_sources: bool) -> Iterator[Document]:
    files = [file for source in _SOURCES for file in sorted(root.glob(f"{source}/*.jsonl*"))] if has_sources else []
    total = 0
    for file in files or sorted(root.glob("??.jsonl")):
        taken = 0
        with (lzma.open if file.suffix == ".xz" else open)(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                if record.get("lang", "en") not in _LANGUAGES or taken > _PER_SOURCE or total > _MAX_BYTES:
                    continue
                text = record["text"][:100_000]  # of novels, the beginning
                taken, total = taken + len(text), total + len(text)
                yield Document(id=record["id"], text=text, source=file.parent.name, licence="", lang=record["lang"])


def _is_held_out(document: Document) -> bool:
    return hashlib.sha256(document.id.encode()).digest()[0] < 8


def _held_out_rows(shards: Path) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    """Beginnings of documents, spread over all of them."""
    opened = open_shards(shards)
    pieces = cut(np.asarray(opened.document_ends, np.int64), ROW_LENGTH)
    first = np.flatnonzero(pieces.begins_document)
    chosen = first[np.linspace(0, len(first) - 1, min(_HELD_OUT_ROWS, len(first))).astype(int)]
    rows = np.full((len(chosen), ROW_LENGTH + 1), -1, np.int64)
    for row, piece in enumerate(chosen):
        ids = opened.tokens[pieces.starts[piece] : pieces.ends[piece]]
        rows[row, : len(ids)] = ids
    return rows
