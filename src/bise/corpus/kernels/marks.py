"""What a text holds that a slower step would change, in one pass: so that most texts need no slower step."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Longs, decode, is_plain

# Of a character, in a table of classes, and of a text:
ODD = 1  # a control, an invisible mark, a space or line end of another kind
DECOMPOSED = 2  # may have another form in NFC
FOLLOWS = 4  # what the second and later bytes of a character in UTF-8 are when read as Windows-1252
LEADS_ONE = 8  # what its first byte is, when one byte follows
LEADS_TWO = 16
LEADS_THREE = 32
# Of a text:
MOJIBAKE = 64  # has a character as mojibake has it


@kernel
def find_marks(data: Bytes, offsets: Longs, classes: NDArray[np.uint8], marks: NDArray[np.uint8]) -> None:
    """Fill the bits of each text; `classes` has those of each code point, none for printable ASCII."""
    for document in range(offsets.size - 1):
        marks[document] = _marks(data, offsets[document], offsets[document + 1], classes)


@device
def _marks(data: Bytes, i: int, stop: int, classes: NDArray[np.uint8]) -> int:
    marks, awaited = 0, 0
    while i < stop:
        if i + 8 <= stop and is_plain(data, i):
            awaited = 0
            i += 8
            continue
        code, width = np.int64(data[i]), 1
        if code >= 0x80:
            code, width = decode(data, i, stop)
        found = np.int64(classes[code])
        if found:
            marks |= found
            if found & FOLLOWS and awaited > 0:
                awaited -= 1
                if awaited == 0:
                    marks |= MOJIBAKE
            elif found >= LEADS_ONE:
                awaited = 1 if found & LEADS_ONE else 2 if found & LEADS_TWO else 3
            else:
                awaited = 0
        else:
            awaited = 0
        i += width
    return marks
