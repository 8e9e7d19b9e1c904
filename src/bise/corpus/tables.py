"""The tables of a curation run: documents that are kept, and everything that is known of each document seen."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from bise.corpus.statistics import NAMES
from bise.corpus.texts import Data, Offsets

# What the later stages read, and after it the hash of the text, by which anybody can check a document.
TEXTS = pa.schema([(name, pa.string()) for name in ("id", "text", "source", "licence", "lang", "metadata")])
DOCUMENTS = TEXTS.append(pa.field("sha256", pa.string()))

# One row a document: first what its unit says of it alone, then what was decided among all.
ALONE = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.string()),
        ("file", pa.string()),
        ("line", pa.int64()),
        ("lang", pa.string()),
        ("confidence", pa.float64()),  # of the language, 0 to 1; null when it was not identified
        ("bytes", pa.int64()),  # UTF-8, as judged: after cleaning
        *((name, pa.float64()) for name in NAMES),
        ("quality", pa.float64()),  # score of the classifier, 0 to 1; null when there is none
        ("listed_words", pa.float64()),  # share of the words that are listed; null when there is no list
        ("reason", pa.string()),  # the key of the recipe that dropped the document; "" when it was kept
        ("value", pa.float64()),  # the document's own; null when it was kept, or when the reason has none
        ("threshold", pa.float64()),
        ("details", pa.string()),  # JSON: what else the steps have to say
        ("beginning", pa.string()),
    ]
)
AMONG = pa.schema(
    [
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("twin", pa.string()),  # id of the kept document that this one repeats, else ""
        ("similarity", pa.float64()),  # Jaccard, of word 5-grams; null without a twin
        ("cluster", pa.int64()),  # the same for documents that repeat each other, directly or not; null for the others
        ("cut_bytes", pa.int64()),  # of the text, because earlier documents have them, too
        ("copies", pa.int64()),  # how often the document was written
    ]
)
SEEN = pa.schema([*ALONE, *(field for field in AMONG if field.name not in ALONE.names)])


# How tables are packed: few values are told by number, long texts and measurements are not worth a search for equals.
PACKING: Mapping[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["source", "licence", "file", "lang", "reason"],
    "write_statistics": ["id", "source", "lang", "reason", "bytes"],
}


def metadata_column(entries: Iterable[Mapping[str, Any]]) -> list[str]:
    """Metadata as JSON, one spelling for equal content."""
    return [json.dumps(dict(entry), ensure_ascii=False, sort_keys=True) if entry else "{}" for entry in entries]


def column(table: Any, name: str) -> Any:
    """A column as one contiguous array."""
    return table.column(name).combine_chunks()


def to_arrow(data: Data, offsets: Offsets) -> Any:
    """A batch of texts as an Arrow array of strings."""
    buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, buffers).cast(pa.string())
