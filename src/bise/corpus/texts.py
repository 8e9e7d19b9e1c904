"""A batch of texts as the compiled loops take it: `data` (UTF-8 bytes, one text after another) and `offsets` (n + 1).

The same layout as the buffers of an Arrow large_string array, so that Arrow batches pass without a copy.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Data = NDArray[np.uint8]
Offsets = NDArray[np.int64]
Array = TypeVar("Array", bound=NDArray[Any])


def pack(texts: Sequence[str]) -> tuple[Data, Offsets]:
    """Lay texts one after another."""
    parts = [text.encode("utf-8") for text in texts]
    offsets = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part) for part in parts], out=offsets[1:])
    return np.frombuffer(b"".join(parts), np.uint8), offsets


def unpack(data: Data, offsets: Offsets) -> list[str]:
    """The texts of a batch."""
    buffer = data.tobytes()
    return [buffer[start:stop].decode("utf-8") for start, stop in pairwise(offsets)]


def read_only(array: Array) -> Array:
    """The same numbers, not writeable: kernels are compiled once, for this form, and Arrow's buffers have it."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view  # type: ignore[return-value]
