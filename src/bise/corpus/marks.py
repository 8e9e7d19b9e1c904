"""Which texts `normalise` need not touch, told in one compiled pass."""

import re
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels import marks as kernel
from bise.corpus.texts import Data, Offsets, read_only

# Every character that `normalise` cuts or replaces.
ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u1680\u2000-\u200b\u2028-\u202f\u205f-\u2064\u2066-\u206f\u3000\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
_FOLLOWS = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
# UTF-8 read as Windows-1252 or Latin-1, one character a byte.
MISREAD = re.compile(f"[Â-ß][{_FOLLOWS}]|[à-ï][{_FOLLOWS}]{{2}}|[ð-ô][{_FOLLOWS}]{{3}}")
_JAMO = range(0x1100, 0x1200)


def find_marks(data: Data, offsets: Offsets) -> NDArray[np.uint8]:
    """Bits of `kernels/marks.py` for each text of a batch."""
    marks = np.empty(len(offsets) - 1, np.uint8)
    kernel.find_marks(read_only(data), read_only(offsets), character_marks(), marks)
    return marks


def marks_of(text: str) -> int:
    """Those of one text."""
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    return int(find_marks(data, np.array([0, len(data)]))[0])


@cache
def character_marks() -> NDArray[np.uint8]:
    """The bits of each code point."""
    table, follows = np.zeros(0x110000, np.uint8), re.compile(f"[{_FOLLOWS}]")
    for code in range(0x30000):
        character = chr(code)
        if ODD.match(character):
            table[code] |= kernel.ODD
        category = unicodedata.category(character)
        if category in ("Mn", "Mc") or code in _JAMO or unicodedata.normalize("NFC", character) != character:
            table[code] |= kernel.DECOMPOSED
        if follows.match(character):
            table[code] |= kernel.FOLLOWS
    table[0xC2:0xE0] |= kernel.LEADS_ONE
    table[0xE0:0xF0] |= kernel.LEADS_TWO
    table[0xF0:0xF5] |= kernel.LEADS_THREE
    table.flags.writeable = False
    return table
