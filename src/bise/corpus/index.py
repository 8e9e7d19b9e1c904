"""The index over a curated corpus: which words of a text stand in it word for word, where, and in what document.

An index is the run directory `ROOT/index/NAME/`: `index.json`, and shards of whole documents, each one safetensors file:

    text            the documents in UTF-8, the byte 0 after each
    starts          the first byte of every word, sorted by that word and those after it
    document_ends   the byte after each document's 0
    records         what is known of each document, as JSON, one after another
    record_ends     the end of each in `records`

Nothing is read but what a question touches. `indexing.py` writes it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.config import home
from bise.corpus.kernels.spans import end_of_words, find_range, longest_matches
from bise.corpus.sorting import word_bounds
from bise.corpus.texts import Data, read_only
from bise.errors import InputError
from bise.runs import MANIFEST, read_manifest, write_atomically

INDEX_FILE = "index.json"
STAGE = "index"
VERSION = 1
_TYPES = {"U8": np.uint8, "U32": np.uint32, "I64": np.int64}
ARRAYS = {"text": "U8", "starts": "U32", "document_ends": "I64", "records": "U8", "record_ends": "I64"}
_MAX_HEADER_BYTES = 1 << 16
_MOST_LOOKED_AT = 1000  # places of words in one shard


@dataclass(frozen=True)
class Asked:
    """A text that is looked up."""

    data: Data
    bounds: NDArray[np.int64]  # the first byte and the end of each word [n, 2]

    def text(self, first: int, stop: int) -> str:
        """Words `first` to `stop`, and what stands between them."""
        return self.data[self.bounds[first, 0] : self.bounds[stop - 1, 1]].tobytes().decode("utf-8", "replace")


@dataclass(frozen=True)
class Place:
    """Where words stand in a corpus."""

    document: str  # its id
    source: str
    licence: str
    lang: str
    metadata: Mapping[str, str]
    before: str  # the text around the words, with an ellipsis where it was cut
    words: str
    after: str


@dataclass(frozen=True)
class Shard:
    """Some documents of a corpus, opened without reading them."""

    text: Data
    starts: NDArray[np.uint32]
    document_ends: NDArray[np.int64]
    records: Data
    record_ends: NDArray[np.int64]
    licences: Mapping[str, str]  # source -> licence

    def record(self, number: int) -> dict[str, Any]:
        """What is known of one document."""
        begin = int(self.record_ends[number - 1]) if number else 0
        table: dict[str, Any] = json.loads(self.records[begin : int(self.record_ends[number])].tobytes())
        return table


@dataclass(frozen=True)
class CorpusIndex:
    """The index of a corpus, or of several, open."""

    num_words: int
    shards: tuple[Shard, ...]

    def longest(self, asked: Asked, least: int = 1) -> NDArray[np.int64]:
        """How many words from each word of the text on stand together in one document [n]; fewer than `least` may be 0."""
        longest = np.zeros(len(asked.bounds), np.int64)
        for shard in self.shards:
            longest_matches(asked.data, asked.bounds, least, shard.text, shard.starts, longest)
        return longest

    def count(self, asked: Asked, first: int, stop: int) -> int:
        """How often words `first` to `stop` stand in the corpus."""
        return sum(end - begin for _, begin, end in self._ranges(asked, first, stop))

    def find(self, asked: Asked, first: int, stop: int, limit: int, around: int) -> tuple[int, list[Place]]:
        """How often words `first` to `stop` stand in the corpus, and where: at most `limit` documents, the earliest first.

        Args:
            asked: the text.
            first: number of a word.
            stop: of the word after the last.
            limit: of documents; of words that are very common, the first found are given.
            around: bytes of text before and after.
        """
        count, found = 0, dict[tuple[int, int], Place]()
        for number, begin, end in self._ranges(asked, first, stop):
            shard, count = self.shards[number], count + end - begin
            for start in np.sort(shard.starts[begin : min(end, begin + _MOST_LOOKED_AT)]).tolist():
                document = int(np.searchsorted(shard.document_ends, start, side="right"))
                if len(found) < limit and (number, document) not in found:
                    found[number, document] = self._place(shard, document, start, stop - first, around)
        return count, list(found.values())

    def _ranges(self, asked: Asked, first: int, stop: int) -> Iterator[tuple[int, int, int]]:
        found = np.empty(2, np.int64)
        for number, shard in enumerate(self.shards):
            find_range(asked.data, asked.bounds, first, stop, shard.text, shard.starts, found)
            if found[1] > found[0]:
                yield number, int(found[0]), int(found[1])

    def _place(self, shard: Shard, document: int, start: int, num_words: int, around: int) -> Place:
        begin = int(shard.document_ends[document - 1]) if document else 0
        end = int(shard.document_ends[document]) - 1
        stop = end_of_words(shard.text, start, num_words)
        record = shard.record(document)
        return Place(
            document=record["id"],
            source=record["source"],
            licence=shard.licences.get(record["source"], ""),
            lang=record["lang"],
            metadata=record["metadata"],
            before="…" * (start - around > begin) + _decoded(shard.text[max(begin, start - around) : start]),
            words=_decoded(shard.text[start:stop]),
            after=_decoded(shard.text[stop : min(end, stop + around)]) + "…" * (stop + around < end),
        )


def ask(text: str) -> Asked:
    """Cut a text into words as the index has them."""
    data = read_only(np.frombuffer(text.replace("\0", " ").encode("utf-8", "replace"), np.uint8))
    return Asked(data, word_bounds(data))


def _decoded(data: Data) -> str:
    """Text that may begin or end within a character."""
    return data.tobytes().decode("utf-8", "ignore")


def open_index(directory: Path) -> CorpusIndex:
    """Open a finished index.

    Raises:
        NotFoundError: there is none, or it was not finished.
        InputError: it is damaged, or another version's.
    """
    manifest = read_manifest(directory)
    if manifest.stage != STAGE:
        raise InputError(f"{directory} holds a {manifest.stage} run. Give the directory of an index run.")
    try:
        table = json.loads((directory / INDEX_FILE).read_text(encoding="utf-8"))
        if table["version"] != VERSION:
            raise InputError(f"{directory} was made by another version of Bise. Make it again: bise curate --index")
        licences, numbers = dict(table["licences"]), range(table["num_shards"])
        shards = tuple(open_shard(directory / shard_file(number), licences) for number in numbers)
        return CorpusIndex(int(table["num_words"]), shards)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"The index in {directory} is damaged: {error!r}. Make it again.") from None


def join(indices: Sequence[CorpusIndex]) -> CorpusIndex:
    """Several corpora as one."""
    return CorpusIndex(sum(one.num_words for one in indices), tuple(shard for one in indices for shard in one.shards))


def shard_file(number: int) -> str:
    """The name of a shard."""
    return f"{number:05d}.safetensors"


def open_shard(path: Path, licences: Mapping[str, str]) -> Shard:
    """Map a shard into memory.

    Raises:
        OSError, ValueError, KeyError, TypeError: it is not there or damaged.
    """
    data = np.memmap(path, np.uint8, "r")
    size = int.from_bytes(data[:8].tobytes(), "little")
    if not 2 <= size <= min(_MAX_HEADER_BYTES, len(data) - 8):
        raise ValueError(f"{path.name} has a header of {size} bytes")
    header, body = json.loads(data[8 : 8 + size].tobytes()), data[8 + size :]
    arrays = {name: _array(body, header[name], name, dtype) for name, dtype in ARRAYS.items()}
    shard = Shard(**arrays, licences=licences)
    for ends, whole in ((shard.document_ends, shard.text), (shard.record_ends, shard.records)):
        if not len(ends) or ends[0] < 0 or ends[-1] != len(whole) or (np.diff(ends) < 0).any():
            raise ValueError(f"{path.name} has ends that do not fit its {len(whole)} bytes")
    if len(shard.document_ends) != len(shard.record_ends):
        raise ValueError(f"{path.name} has {len(shard.document_ends)} documents, {len(shard.record_ends)} records")
    return shard


def _array(body: NDArray[np.uint8], entry: Mapping[str, Any], name: str, dtype: str) -> NDArray[Any]:
    begin, end = entry["data_offsets"]
    array_type = np.dtype(_TYPES[dtype]).newbyteorder("<")
    count = (end - begin) // array_type.itemsize
    if entry["dtype"] != dtype or not 0 <= begin <= end <= len(body) or entry["shape"] != [count]:
        raise ValueError(f"{name} is {entry}, in a file of {len(body)} bytes")
    return read_only(np.frombuffer(body, array_type, count, begin))


def _notes() -> Path:
    return home() / "indices"


def note_index(directory: Path) -> None:
    """Remember where the index of a corpus is, by the hash of the corpus's manifest."""
    corpora = [parent for parent in read_manifest(directory).inputs if parent.kind == "run"]
    for corpus in corpora:
        _notes().mkdir(parents=True, exist_ok=True)
        write_atomically(_notes() / f"{corpus.sha256}.json", json.dumps({"path": str(directory.resolve())}) + "\n")


def noted_index(corpus_sha256: str) -> Path | None:
    """Where the index of a corpus is on this machine; None when it is not here, or was made of another corpus."""
    note = _notes() / f"{corpus_sha256}.json"
    if not note.is_file():
        return None
    directory = Path(json.loads(note.read_text(encoding="utf-8"))["path"])
    if not (directory / MANIFEST).is_file():
        return None
    parents = read_manifest(directory).inputs
    return directory if any(parent.sha256 == corpus_sha256 for parent in parents) else None
