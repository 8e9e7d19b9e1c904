"""Making an index: documents into shards of bounded size, each sorted by itself, in as many threads as there are cores.

Shards are cut by the documents alone, so any number of workers writes the same bytes; one that is there already, from a
call that was stopped, is kept when it holds the same documents.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bise.corpus.document import Document
from bise.corpus.index import INDEX_FILE, STAGE, VERSION, note_index, open_shard, shard_file
from bise.corpus.sorting import sorted_starts
from bise.corpus.texts import Data, read_only
from bise.errors import InputError
from bise.runs import MANIFEST, Manifest, RunDirectory, read_manifest, run_input, write_atomically

SHARD_BYTES = 24 << 20  # of text, of which sorting takes ten times as much memory
_MAX_SHARD_BYTES = 1 << 31  # one document that is longer
Progress = Callable[[int, int], None]  # (bytes of text done, in all)


@dataclass(frozen=True)
class _Piece:
    """The documents of a shard."""

    number: int
    text: Data
    document_ends: NDArray[np.int64]
    records: bytes
    record_ends: NDArray[np.int64]


def index_corpus(
    corpus: Path,
    documents: Iterable[Document],
    *,
    shard_bytes: int = SHARD_BYTES,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Manifest:
    """Index a finished curate run to `ROOT/index/NAME/`, beside it, and remember where that is.

    Args:
        corpus: the run's directory.
        documents: what it holds, in order.
        shard_bytes: of text in a shard; a longer document has one of its own.
        workers: threads; None: as many as there are cores.
        progress: told of text done.

    Raises:
        InputError: another corpus of that name was indexed, there are no documents, or one is too long.
    """
    manifest, parent = read_manifest(corpus), run_input(corpus)
    directory = corpus.resolve().parent.parent / STAGE / manifest.name
    if (directory / MANIFEST).exists():
        made = read_manifest(directory)
        if parent not in made.inputs:
            raise InputError(f"{directory} is the index of another corpus of that name. Delete it, then index again.")
        note_index(directory)
        return made
    run = RunDirectory(directory.parent.parent, STAGE, manifest.name)
    kept_bytes = manifest.facts.get("kept_bytes")
    total = kept_bytes if isinstance(kept_bytes, int) else 0
    licences: dict[str, str] = {}
    facts = _write_shards(_pieces(documents, licences, shard_bytes), run.path, workers, total, progress)
    table = {"version": VERSION, **facts, "licences": dict(sorted(licences.items()))}
    write_atomically(run.path / INDEX_FILE, json.dumps(table, indent=2, ensure_ascii=False) + "\n")
    index_bytes = sum(file.stat().st_size for file in run.path.iterdir())
    made = run.finish({"shard_bytes": shard_bytes}, [parent], {**facts, "index_bytes": index_bytes})
    note_index(directory)
    return made


def _write_shards(
    pieces: Iterator[_Piece], directory: Path, workers: int | None, total: int, progress: Progress | None
) -> dict[str, int]:
    """Sort and write pieces, no more of them in memory than there are workers; returns what they sum to."""
    num_workers = workers or os.cpu_count() or 1
    facts = {"num_shards": 0, "num_documents": 0, "num_words": 0, "num_bytes": 0}
    pending: deque[Future[tuple[int, int, int]]] = deque()

    def take() -> None:
        num_documents, num_words, num_bytes = pending.popleft().result()
        facts["num_shards"] += 1
        facts["num_documents"] += num_documents
        facts["num_words"] += num_words
        facts["num_bytes"] += num_bytes
        if progress is not None:
            progress(facts["num_bytes"], max(total, facts["num_bytes"]))

    with ThreadPoolExecutor(num_workers) as pool:
        for piece in pieces:
            while len(pending) >= num_workers:
                take()
            pending.append(pool.submit(_write_shard, piece, directory))
        while pending:
            take()
    if not facts["num_shards"]:
        raise InputError("There are no documents to index. Did curation drop everything?")
    return facts


def _pieces(documents: Iterable[Document], licences: dict[str, str], shard_bytes: int) -> Iterator[_Piece]:
    """Documents in shards of at most so many bytes; notes the licence of every source."""
    texts: list[bytes] = []
    records: list[bytes] = []
    size = number = 0
    for document in documents:
        licences[document.source] = document.licence
        text = document.text.replace("\0", " ").encode("utf-8") + b"\0"
        if len(text) > _MAX_SHARD_BYTES:
            raise InputError(f"The document {document.id} has {len(text):,} bytes, too long for an index. Cut it.")
        if texts and size + len(text) > shard_bytes:
            yield _piece(number, texts, records)
            texts, records, size, number = [], [], 0, number + 1
        texts.append(text)
        records.append(_record(document))
        size += len(text)
    if texts:
        yield _piece(number, texts, records)


def _record(document: Document) -> bytes:
    known = {"id": document.id, "source": document.source, "lang": document.lang, "metadata": dict(document.metadata)}
    return json.dumps(known, ensure_ascii=False, separators=(",", ":")).encode("utf-8")


def _piece(number: int, texts: list[bytes], records: list[bytes]) -> _Piece:
    ends = [np.cumsum([len(part) for part in parts], dtype=np.int64) for parts in (texts, records)]
    text = read_only(np.frombuffer(b"".join(texts), np.uint8))
    return _Piece(number, text, ends[0], b"".join(records), ends[1])


def _write_shard(piece: _Piece, directory: Path) -> tuple[int, int, int]:
    """Documents, words and bytes of a shard, which is on the disk afterwards."""
    path = directory / shard_file(piece.number)
    num_bytes = len(piece.text) - len(piece.document_ends)
    num_words = _written_before(path, piece)
    if num_words is None:
        starts = sorted_starts(piece.text)
        temporary = path.with_suffix(".part")
        arrays: dict[str, NDArray[Any]] = {
            "text": piece.text,
            "starts": starts,
            "document_ends": piece.document_ends,
            "records": np.frombuffer(piece.records, np.uint8),
            "record_ends": piece.record_ends,
        }
        save_file(arrays, temporary)
        temporary.replace(path)
        num_words = len(starts)
    return len(piece.document_ends), num_words, num_bytes


def _written_before(path: Path, piece: _Piece) -> int | None:
    """Words of a shard of the same documents that an interrupted call has written; None when there is none."""
    if not path.is_file():
        return None
    try:
        shard = open_shard(path, {})
    except (ValueError, KeyError, TypeError):
        return None
    same = np.array_equal(shard.text, piece.text) and shard.records.tobytes() == piece.records
    return len(shard.starts) if same else None
