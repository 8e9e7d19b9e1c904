"""Hashes of whole texts, byte for byte."""

from bise.corpus.kernels.compile import kernel
from bise.corpus.kernels.text import Bytes, Hashes, Longs, hash_bytes


@kernel
def hash_texts(data: Bytes, offsets: Longs, hashes: Hashes) -> None:
    """A 64-bit hash of each text [n]; a text of one word hashes as that token does in `scan.py`."""
    for document in range(hashes.size):
        hashes[document] = hash_bytes(data, offsets[document], offsets[document + 1])
