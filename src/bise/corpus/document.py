"""The document: what every stage from the raw text to the token shards passes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Document:
    """One text with where it came from and what may be done with it."""

    id: str
    text: str
    source: str
    licence: str
    lang: str  # ISO 639-1 code, or "" when unknown
    metadata: Mapping[str, str] = field(default_factory=dict)
