"""What the page is told about where answers and models come from."""

from typing import Literal

from bise.app.replies.base import Reply


class Place(Reply):
    """Where words stand in the corpus, with the text around them."""

    document: str
    source: str
    licence: str
    lang: str
    before: str
    words: str
    after: str
    title: str
    url: str


class Span(Reply):
    """Words that stand in the corpus."""

    text: str
    num_words: int
    occurrences: int
    places: list[Place]


class Piece(Reply):
    """A piece of an answer, with the number of its span."""

    text: str
    span: int | None


class FoundHere(Reply):
    """What of an answer stands in the corpus."""

    known: Literal["here"]
    corpora: list[str]
    share: float
    """Of the answer's words, how many stand in spans: 0 to 1."""
    pieces: list[Piece]
    """The answer's text, one piece after another."""
    spans: list[Span]


class NotLookedUp(Reply):
    """Why nothing could be looked up."""

    known: Literal["not_here", "unknown", "elsewhere"]
    corpora: list[str]


class TokenShards(Reply):
    """The tokens that a training run read."""

    path: str
    num_tokens: int
    num_documents: int
    sha256: str


class Source(Reply):
    """What a run read."""

    name: str
    licence: str
    origin: str
    number: int
    kind: Literal["documents", "conversations"]
    size_bytes: int | None


class Step(Reply):
    """One run, or a model or adapter of the store."""

    name: str
    stage: Literal["model", "adapter", "tune", "train", "curate", "tokenizer"]
    sha256: str
    here: bool
    """Its files are on this machine, not only its record."""
    created: str
    bise_version: str
    source_sha256: str
    licence: str
    machine: str
    seconds: float
    energy_kwh: float | None
    cost: str
    command: str
    files_read: int
    outputs: int
    shards: TokenShards | None
    sources: list[Source]


class Missing(Reply):
    """A step whose record is not here."""

    name: str
    sha256: str


class Lineage(Reply):
    """Everything that a model was made from, the last step first."""

    steps: list[Step]
    missing: list[Missing]
