"""What the readers of all formats give: records, those that cannot be read, and those that are no documents.

Everything carries its place in the file, so that a person can go and look.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_RECORD_BYTES = 64 << 20  # a longer line, page or row is bad: memory is bounded by it


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record as it was stored: named fields."""

    file: str  # path below the root of the sources
    number: int  # from 1: line, row, record or, for one document a file, 1
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that cannot be a document."""

    file: str
    kind: str  # what `number` counts: "line", "row", "record" or "file"
    number: int  # from 1
    why: str
    num_lost: int | None = 1  # records that this stands for; None: the rest of the file, however much that was

    def __str__(self) -> str:
        place = self.file if self.kind == "file" else f"{self.file}, {self.kind} {self.number:,}"
        return f"{place}: {self.why}"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A sound record that holds no document, such as a picture in a web archive."""

    reason: str  # few different ones: they are counted


Found = RawRecord | BadRecord | PassedOver
