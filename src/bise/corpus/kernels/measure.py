"""All statistics of a batch: the kernel that `statistics.py` calls."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import kernel
from bise.corpus.kernels.repetition import measure_lines, measure_ngrams, measure_paragraphs
from bise.corpus.kernels.scan import Scratch, scan
from bise.corpus.kernels.text import Bytes, Hashes, Longs


@kernel
def measure_batch(
    data: Bytes,
    offsets: Longs,
    languages: NDArray[np.int64],
    kinds: NDArray[np.uint16],
    stop_hashes: Hashes,
    stop_bits: Hashes,
    scratch: Scratch,
    matrix: NDArray[np.float64],
) -> None:
    """Fill a zeroed matrix [documents, NUM_COLUMNS]; `languages` are rows of the tables of stop words."""
    for document in range(offsets.size - 1):
        row = matrix[document]
        language = languages[document]
        start, stop = offsets[document], offsets[document + 1]
        num_tokens, num_lines = scan(data, start, stop, kinds, stop_hashes[language], stop_bits[language], scratch, row)
        measure_lines(data, num_lines, kinds, scratch, row)
        measure_paragraphs(data, num_lines, scratch, row)
        measure_ngrams(num_tokens, scratch, row)
