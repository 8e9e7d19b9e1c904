"""Which texts may hold personal data: without one of these signs no expression of `personal.py` can match."""

import numpy as np
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, kernel
from bise.corpus.kernels.text import Bytes, Longs

DENSE_DIGITS, DENSE_BYTES = 7, 28  # as many digits, the last at most so far from the first
_DOT, _COLON, _AT = 0x2E, 0x3A, 0x40


@kernel
def find_signs(data: Bytes, offsets: Longs, places: Longs, has_signs: NDArray[np.bool_]) -> None:
    """Fill for each text whether digits stand close together, or "@", ".1.1" or ":a:" do; `places` is DENSE_DIGITS long."""
    for document in range(offsets.size - 1):
        i, stop, num_digits, has_sign = offsets[document], offsets[document + 1], 0, False
        while i < stop and not has_sign:
            byte = data[i]
            if byte <= _AT and byte >= _DOT:
                if byte == _AT:
                    has_sign = True
                elif _is_digit(byte):
                    slot = num_digits % DENSE_DIGITS
                    places[slot] = i
                    num_digits += 1
                    first = places[num_digits % DENSE_DIGITS]
                    has_sign = num_digits >= DENSE_DIGITS and i - first <= DENSE_BYTES
                elif byte == _DOT:
                    has_sign = _is_repeated(data, i, stop, False)
                elif byte == _COLON:
                    has_sign = _is_repeated(data, i, stop, True)
            i += 1
        has_signs[document] = has_sign


@device
def _is_repeated(data: Bytes, i: int, stop: int, is_hexadecimal: bool) -> bool:
    """Whether the mark at byte `i` stands again behind at most four digits; a "." behind one and before one."""
    k = i + 1
    while k < stop and k <= i + 4 and (_is_digit(data[k]) or (is_hexadecimal and _is_letter(data[k]))):
        k += 1
    if k >= stop or data[k] != data[i]:
        return False
    return is_hexadecimal or (k > i + 1 and k + 1 < stop and _is_digit(data[k + 1]))


@device
def _is_digit(byte: int) -> bool:
    return 0x30 <= byte <= 0x39


@device
def _is_letter(byte: int) -> bool:
    return 0x41 <= byte & 0xDF <= 0x46
