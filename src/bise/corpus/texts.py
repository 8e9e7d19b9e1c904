"""A batch of texts as the compiled loops take it: `data` (UTF-8 bytes, one text after another) and `offsets` (n + 1).

The same layout as the buffers of an Arrow large_string array, so that Arrow batches pass without a copy.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Data = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Array = TypeVar("Array", bound=NDArray[Any])


def pack(texts: Sequence[str]) -> tuple[Data, Offsets]:
    """Lay texts one after another."""
    return lay_out([text.encode("utf-8") for text in texts])


def lay_out(parts: Sequence[bytes | memoryview]) -> tuple[Data, Offsets]:
    """Lay texts in UTF-8 one after another."""
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def unpack(data: Data, offsets: Offsets) -> list[str]:
    """The texts of a batch."""
    buffer = data.tobytes()
    return [buffer[start:stop].decode("utf-8") for start, stop in pairwise(offsets)]


def replaced(data: Data, offsets: Offsets, wanted: Sequence[int], others: Mapping[int, str]) -> tuple[Data, Offsets]:
    """A batch of some texts of another, by their numbers, of which some have become others."""
    if not others and len(wanted) == len(offsets) - 1:
        return data, offsets
    buffer, bounds = data.data, offsets.tolist()
    parts = [
        others[number].encode("utf-8") if number in others else buffer[bounds[number] : bounds[number + 1]]
        for number in wanted
    ]
    return lay_out(parts)


def num_bytes(text: str) -> int:
    """How long a text is in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8"))


def from_arrow(column: Any) -> tuple[Data, Offsets]:
    """The texts of an Arrow column of strings."""
    texts = column.cast("large_string").combine_chunks()
    _, offset_buffer, data_buffer = texts.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    if not len(texts):
        return np.empty(0, np.uint8), np.zeros(1, np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)[offsets[0] : offsets[-1]]
    return data, offsets - offsets[0]


def read_only(array: Array) -> Array:
    """The same numbers, not writeable: kernels are compiled once, for this form, and Arrow's buffers have it."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view  # type: ignore[return-value]
