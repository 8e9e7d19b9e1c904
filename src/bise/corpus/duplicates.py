"""Which documents repeat others: exact copies by their digests."""

import hashlib
import unicodedata

import numpy as np
from numpy.typing import NDArray

from bise.corpus.texts import Data, Offsets, unpack


def text_digests(data: Data, offsets: Offsets) -> NDArray[np.uint64]:
    """128-bit hash of each text in Unicode NFC, case folded, white space collapsed [n, 2]."""
    digests = b"".join(_digest(text) for text in unpack(data, offsets))
    return np.frombuffer(digests, np.uint64).reshape(-1, 2)


def _digest(text: str) -> bytes:
    normalised = " ".join(unicodedata.normalize("NFC", text).casefold().split())
    return hashlib.blake2b(normalised.encode("utf-8"), digest_size=16).digest()
