"""Bytes to characters and hashes: what every other kernel is made of.

Texts are UTF-8. Bytes that are not (no Arrow or Python string holds any) count as U+FFFD, one character a byte, and
nothing is ever read outside the buffer.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from bise.corpus.kernels.compile import device, inlined

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
Longs = NDArray[np.int64]

_REPLACEMENT = 0xFFFD
_SEED = np.uint64(0x243F6A8885A308D3)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIXER = np.uint64(0xD6E8FEB86659FD93)
_HALF = np.uint64(32)


@inlined
def decode(data: Bytes, i: int, stop: int) -> tuple[int, int]:
    """The code point at byte `i` and its width in bytes; `i < stop`."""
    first = np.int64(data[i])
    if first < 0x80:
        return first, 1
    if 0xC2 <= first < 0xE0 and i + 1 < stop:
        return ((first & 31) << 6) | (np.int64(data[i + 1]) & 63), 2
    if 0xE0 <= first < 0xF0 and i + 2 < stop:
        return ((first & 15) << 12) | ((np.int64(data[i + 1]) & 63) << 6) | (np.int64(data[i + 2]) & 63), 3
    if 0xF0 <= first < 0xF5 and i + 3 < stop:
        high = ((first & 7) << 18) | ((np.int64(data[i + 1]) & 63) << 12)
        code = high | ((np.int64(data[i + 2]) & 63) << 6) | (np.int64(data[i + 3]) & 63)
        if code <= 0x10FFFF:
            return code, 4
    return _REPLACEMENT, 1


@device
def decode_before(data: Bytes, start: int, i: int) -> int:
    """The code point that ends at byte `i` of a text that begins at `start < i`."""
    begin = i - 1
    while begin > start and i - begin < 4 and (data[begin] & 0xC0) == 0x80:
        begin -= 1
    code, width = decode(data, begin, i)
    return code if begin + width == i else _REPLACEMENT


@intrinsic
def load_word(_context: Any, data: Any, index: Any) -> Any:
    """Eight bytes from any address, as numba's own indexing cannot."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


@intrinsic
def trailing_zeros(_context: Any, word: Any) -> Any:
    """How many zeros stand below the lowest one bit; 64 of 0."""

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@inlined
def load_bytes(data: Bytes, i: int, stop: int) -> np.uint64:
    """Up to eight bytes from `i` to `stop`, little-endian, zeros above."""
    count = stop - i
    if data.size - i >= 8:
        word = load_word(data, np.int64(i))
        if count >= 8:
            return word
        return word & ((np.uint64(1) << np.uint64(8 * count)) - np.uint64(1))
    word = np.uint64(0)
    for k in range(min(count, 8)):
        word |= np.uint64(data[i + k]) << np.uint64(8 * k)
    return word


@inlined
def is_plain(data: Bytes, i: int) -> bool:
    """Whether eight bytes from `i` on are printable ASCII or spaces: what most texts hold most of the time."""
    if data.size - i < 8:
        return False
    word = load_word(data, np.int64(i))
    is_delete = word ^ np.uint64(0x7F7F7F7F7F7F7F7F)
    is_control = (word - np.uint64(0x2020202020202020)) | (is_delete - np.uint64(0x0101010101010101))
    return (word | is_control) & np.uint64(0x8080808080808080) == 0


@inlined
def put_character(out: Bytes, i: int, code: int) -> int:
    """Write a code point in UTF-8 at byte `i`; the byte after it."""
    if code < 0x80:
        out[i] = code
        return i + 1
    if code < 0x800:
        out[i], out[i + 1] = 0xC0 | (code >> 6), 0x80 | (code & 63)
        return i + 2
    if code < 0x10000:
        out[i], out[i + 1], out[i + 2] = 0xE0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
        return i + 3
    out[i], out[i + 1] = 0xF0 | (code >> 18), 0x80 | ((code >> 12) & 63)
    out[i + 2], out[i + 3] = 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)
    return i + 4


@inlined
def mix(value: np.uint64) -> np.uint64:
    """Spread every bit of a hash over all of them."""
    value = (value ^ (value >> _HALF)) * _MIXER
    value = (value ^ (value >> _HALF)) * _MIXER
    return value ^ (value >> _HALF)


@inlined
def combine(state: np.uint64, value: np.uint64) -> np.uint64:
    """One step of a hash over a sequence; finish with `mix`."""
    state = (state ^ value) * _MULTIPLIER
    return state ^ (state >> _HALF)


@inlined
def hash_bytes(data: Bytes, start: int, stop: int) -> np.uint64:
    """A 64-bit hash of the bytes from `start` to `stop`, of their length as well."""
    state = combine(_SEED, np.uint64(stop - start))
    i = start
    while i < stop:
        state = combine(state, load_bytes(data, i, stop))
        i += 8
    return mix(state)


@inlined
def insert(keys: Hashes, mask: np.uint64, key: np.uint64) -> tuple[int, bool]:
    """The slot of a key in an open hash table, and whether it was there already; 0 marks a free slot."""
    key = max(key, np.uint64(1))
    slot = key & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return np.int64(slot), True
        slot = (slot + np.uint64(1)) & mask
    keys[slot] = key
    return np.int64(slot), False
