"""Characters made sound and alike: mojibake repaired, controls and invisible marks cut, spaces and line ends of one kind.

Unlike the steps of `clean.py` this knows nothing of markup and is safe for every text. Mojibake is UTF-8 that somebody
read as Windows-1252 ("Ã©" for "é"); ftfy (https://ftfy.readthedocs.io) mends it, and because it takes a second for three
megabytes, only lines that hold a character as mojibake has it are shown to it.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Literal

import numpy as np

from bise.corpus.kernels.marks import DECOMPOSED, MOJIBAKE, ODD
from bise.corpus.marks import MISREAD, find_marks, marks_of
from bise.corpus.texts import Data, Offsets, replaced

Form = Literal["NFC", "NFKC", "none"]

# Line and paragraph separators, vertical tab and form feed end a line.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
# Controls; soft hyphen; zero width space; word joiner and invisible operators; overriding directions; byte order mark;
# interlinear and other non-characters. Joiners and direction marks stay: scripts and emoji need them.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u200b\u2028-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff]"
)
# C1 controls are Windows-1252 quotes and dashes that somebody read as Latin-1.
_WINDOWS_1252 = {chr(code): bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}
_MAX_ROUNDS = 5  # text that was misread more than once


def normalise(text: str, form: Form = "NFC", *, repair: bool = True) -> str:
    """Make the characters of a text sound; doing it twice changes nothing.

    Args:
        text: any text.
        form: Unicode's normal form; NFKC also replaces ligatures, full-width and raised characters by plain ones.
        repair: whether to mend mojibake.
    """
    for _ in range(_MAX_ROUNDS):
        marks, before = marks_of(text), text
        if marks & MOJIBAKE and repair:
            text = "\n".join([_repair(line) if MISREAD.search(line) else line for line in text.split("\n")])
            marks |= ODD | DECOMPOSED
        if marks & ODD:
            text = _without_odd(text)
        if form == "NFKC" or (form == "NFC" and marks & DECOMPOSED):
            text = unicodedata.normalize(form, text)
        if text == before:  # what is cut can bring the halves of mojibake together
            break
    return text


def _without_odd(text: str) -> str:
    text = text.replace("\xa0", " ")  # most often all that there is, and quickly done
    if not marks_of(text) & ODD:
        return text
    text = _LINE_ENDS.sub("\n", text)
    return _INVISIBLE.sub(_replacement, _SPACES.sub(" ", text))


def normalise_batch(
    texts: Sequence[str], data: Data, offsets: Offsets, form: Form = "NFC", *, repair: bool = True
) -> tuple[dict[int, str], Data, Offsets]:
    """The texts that change, by their numbers, and the batch with them; most texts are only looked at.

    Args:
        texts: any texts.
        data: their UTF-8 bytes, one text after another.
        offsets: where each begins, and the end of the last [n + 1].
        form: as of `normalise`.
        repair: likewise.
    """
    touched = MOJIBAKE * repair | ODD | DECOMPOSED * (form != "none")
    numbers = range(len(texts)) if form == "NFKC" else np.flatnonzero(find_marks(data, offsets) & touched).tolist()
    sound = ((number, normalise(texts[number], form, repair=repair)) for number in numbers)
    changed = {number: text for number, text in sound if text != texts[number]}
    return changed, *replaced(data, offsets, range(len(texts)), changed)


def _replacement(found: re.Match[str]) -> str:
    return _WINDOWS_1252.get(found[0], "")


def _repair(line: str) -> str:
    import ftfy

    return ftfy.fix_encoding(line)
