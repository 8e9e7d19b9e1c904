"""Which parts of a text stand word for word in the data a model was trained on: where from, under which licence.

After OLMoTrace (Liu et al. 2025, arXiv 2504.07096): spans that cannot be made longer, of words rare enough that their
standing together says something. The same spans count what a model recites, and what of an evaluation was seen in training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bise.corpus.index import Asked, CorpusIndex, Place, Shard, ask
from bise.corpus.texts import read_only


@dataclass(frozen=True)
class TraceSettings:
    """What counts as a span."""

    min_words: int = 8  # punctuation marks are words
    min_bits: float = 50.0  # of surprise, had the words been drawn one by one as often as the corpus has them
    num_places: int = 3  # shown of each span
    around: int = 240  # bytes of text shown before and after


@dataclass(frozen=True)
class Span:
    """Words of a text that stand in a corpus, and can be made longer in neither direction."""

    first: int  # number of its first word
    stop: int  # of the word after its last
    text: str
    occurrences: int
    places: tuple[Place, ...]


@dataclass(frozen=True)
class Piece:
    """A part of the text, with the number of the longest span that covers it, or None."""

    text: str
    span: int | None


@dataclass(frozen=True)
class Trace:
    """What was found of a text."""

    num_words: int
    spans: tuple[Span, ...]  # in order; they may overlap
    pieces: tuple[Piece, ...]  # one after another, the text

    @property
    def share(self) -> float:
        """Of the text's words, how many stand in spans: 0..1."""
        covered = np.zeros(self.num_words, bool)
        for span in self.spans:
            covered[span.first : span.stop] = True
        return float(covered.mean()) if self.num_words else 0.0


def trace(index: CorpusIndex, text: str, settings: TraceSettings | None = None) -> Trace:
    """Find the parts of a text that stand in an indexed corpus."""
    settings = settings or TraceSettings()
    asked = ask(text)
    surprise = _Surprise(index, asked)
    spans = []
    for first, stop in maximal_spans(index.longest(asked, settings.min_words), settings.min_words):
        if surprise.exceeds(first, stop, settings.min_bits):
            count, places = index.find(asked, first, stop, settings.num_places, settings.around)
            spans.append(Span(first, stop, asked.text(first, stop), count, tuple(places)))
    return Trace(len(asked.bounds), tuple(spans), tuple(_pieces(asked, spans)))


def maximal_spans(longest: NDArray[np.int64], min_words: int) -> list[tuple[int, int]]:
    """Words (first, stop) of spans of a length, of which none lies in another.

    Args:
        longest: how many words from each word on stand together in the corpus.
        min_words: shorter spans are left out.
    """
    ends = np.arange(len(longest)) + longest
    before = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    return [(int(k), int(ends[k])) for k in np.flatnonzero((longest >= max(min_words, 1)) & (ends > before))]


class _Surprise:
    """How many bits the words of a text weigh, by their frequency in a corpus; each different word is counted once."""

    def __init__(self, index: CorpusIndex, asked: Asked) -> None:
        self._index, self._asked = index, asked
        self._known: dict[str, float] = {}

    def exceeds(self, first: int, stop: int, bits: float) -> bool:
        """Whether words weigh so much together; long words, which are rare, are asked first, since counting takes time."""
        sizes = self._asked.bounds[first:stop, 1] - self._asked.bounds[first:stop, 0]
        total = 0.0
        for word in np.argsort(-sizes, kind="stable").tolist():
            if total >= bits:
                break
            total += self._bits(first + word)
        return total >= bits

    def _bits(self, word: int) -> float:
        text = self._asked.text(word, word + 1)
        if text not in self._known:
            count = self._index.count(self._asked, word, word + 1)
            self._known[text] = math.log2(self._index.num_words / max(count, 1))
        return self._known[text]


def _pieces(asked: Asked, spans: Sequence[Span]) -> list[Piece]:
    """The text cut where the longest covering span changes."""
    owner: NDArray[np.int64] = np.full(len(asked.bounds), -1, np.int64)
    for number in sorted(range(len(spans)), key=lambda k: spans[k].stop - spans[k].first):
        owner[spans[number].first : spans[number].stop] = number
    pieces, data, at = [], asked.data.tobytes(), 0
    cuts = [0, *(np.flatnonzero(np.diff(owner)) + 1).tolist(), len(owner)] if len(owner) else []
    for first, stop in pairwise(cuts):
        number = int(owner[first])
        begin, end = int(asked.bounds[first, 0]), int(asked.bounds[stop - 1, 1])
        if number >= 0:
            pieces += [(data[at:begin], None), (data[begin:end], number)]
            at = end
    pieces.append((data[at:], None))
    return [Piece(text.decode("utf-8"), number) for text, number in pieces if text]


def warm() -> None:
    """Compile what a look-up needs, or load it from the cache: a word is looked up in a corpus of that word."""
    text, record = b"word\0", b'{"id": "", "source": "", "lang": "", "metadata": {}}'
    shard = Shard(
        text=read_only(np.frombuffer(text, np.uint8)),
        starts=read_only(np.zeros(1, np.uint32)),
        document_ends=read_only(np.array([len(text)])),
        records=read_only(np.frombuffer(record, np.uint8)),
        record_ends=read_only(np.array([len(record)])),
        licences={},
    )
    trace(CorpusIndex(1, (shard,)), "word", TraceSettings(min_words=1, min_bits=0))
