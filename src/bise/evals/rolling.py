"""Likelihoods of whole documents, longer than a context may be: the windows that lm-eval's rolling likelihood has.

Each window continues where the last one ended and sees one token of it; the first sees the token that texts begin with.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bise.evals.api import Api, Ids, Progress


@dataclass(frozen=True)
class DocumentScore:
    """How well a model foresees a text."""

    nats: float  # of surprise
    num_tokens: int
    size_bytes: int  # of its UTF-8


def windows(ids: Sequence[int], beginning: Ids, size: int) -> Iterator[tuple[Ids, Ids]]:
    """Cut a text's ids into (what is seen, what is scored), together at most `size`."""
    seen = list(beginning[-1:])
    for start in range(0, len(ids), size - 1):
        scored = list(ids[start : start + size - 1])
        yield seen, scored
        seen = scored[-1:]


def score_documents(api: Api, texts: Sequence[str], progress: Progress | None = None) -> list[DocumentScore]:
    """Score each text from its beginning, all of its tokens."""
    ids = api.tokenize(texts)
    beginning, size = api.beginning(), api.target.context_length - 1
    pieces = [list(windows(each, beginning, size)) for each in ids]
    found = iter(api.likelihoods([pair for each in pieces for pair in each], progress))
    scores = []
    for text, each in zip(texts, pieces, strict=True):
        parts = [next(found) for _ in each]
        nats, num_tokens = -sum(part.nats for part in parts), sum(part.num_tokens for part in parts)
        scores.append(DocumentScore(nats, num_tokens, len(text.encode())))
    return scores
