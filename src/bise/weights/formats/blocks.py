"""How GGUF's quantised types hold weights: blocks of bytes to float32, and ours to and from those that are the same.

Layouts are those of ggml (ggml-common.h). Q4_0 and Q8_0 are our 4 and 8 bits but for the order of bytes: values and scales
pass unchanged in both directions. All others become floats, to be rounded anew.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.weights.tensors import QuantisedTensor

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


def read_exact(kind: str, rows: Bytes) -> QuantisedTensor:
    """Rows of Q4_0 or Q8_0 blocks [rows, bytes] as integers with scales, unchanged."""
    size = {"Q4_0": 18, "Q8_0": 34}[kind]
    blocks = rows.reshape(len(rows), -1, size)
    scales = _halves(blocks[..., :2])[..., 0]
    if kind == "Q4_0":
        unsigned = np.concatenate([blocks[..., 2:] & 15, blocks[..., 2:] >> 4], axis=-1)
        values = unsigned.view(np.int8) - np.int8(8)
    else:
        values = np.ascontiguousarray(blocks[..., 2:]).view(np.int8)
    return QuantisedTensor(values.reshape(len(rows), -1), scales, 4 if kind == "Q4_0" else 8)


def write_exact(tensor: QuantisedTensor) -> Bytes:
    """Integers with scales as rows of Q4_0 or Q8_0 blocks, unchanged."""
    rows, groups = tensor.scales.shape
    values = tensor.values.reshape(rows, groups, 32)
    scales = np.ascontiguousarray(tensor.scales)[..., None].view(np.uint8)
    if tensor.bits == 4:
        unsigned = (values + np.int8(8)).view(np.uint8)
        packed = unsigned[..., :16] | unsigned[..., 16:] << np.uint8(4)
    else:
        packed = np.ascontiguousarray(values).view(np.uint8)
    blocks: Bytes = np.concatenate([scales, packed], axis=-1)
    return blocks.reshape(rows, -1)


def to_floats(kind: str, rows: Bytes) -> Floats:
    """Rows of blocks [rows, bytes] as float32 [rows, columns]."""
    size, decode = _DECODERS[kind]
    with np.errstate(over="ignore", invalid="ignore"):  # damaged scales: infinities are found by the reader's checks
        return decode(rows.reshape(-1, size)).reshape(len(rows), -1)


def _halves(raw: Bytes) -> NDArray[np.float16]:
    return np.ascontiguousarray(raw).view("<f2")


def _scale(blocks: Bytes, at: int) -> Floats:
    """The float16 at a byte of each block, [N, 1]."""
    return _halves(blocks[:, at : at + 2]).astype(np.float32)


def _nibbles(packed: Bytes) -> NDArray[np.uint8]:
    """[N, 16] -> [N, 32]: low halves, then high halves."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _fifth_bits(blocks: Bytes, at: int) -> NDArray[np.uint8]:
    """The bits of a uint32 at a byte of each block, [N, 32]."""
    return np.unpackbits(np.ascontiguousarray(blocks[:, at : at + 4]), axis=1, bitorder="little")


def _q4_0(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * (_nibbles(blocks[:, 2:]).astype(np.float32) - 8)


def _q4_1(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * _nibbles(blocks[:, 4:]) + _scale(blocks, 2)


def _q5_0(blocks: Bytes) -> Floats:
    values = _nibbles(blocks[:, 6:]) | _fifth_bits(blocks, 2) << np.uint8(4)
    return _scale(blocks, 0) * (values.astype(np.float32) - 16)


def _q5_1(blocks: Bytes) -> Floats:
    values = _nibbles(blocks[:, 8:]) | _fifth_bits(blocks, 4) << np.uint8(4)
    return _scale(blocks, 0) * values + _scale(blocks, 2)


def _q8_0(blocks: Bytes) -> Floats:
    return _scale(blocks, 0) * np.ascontiguousarray(blocks[:, 2:]).view(np.int8)


def _q2_k(blocks: Bytes) -> Floats:
    """16 sub-blocks of 16 with a 4-bit scale and minimum each; two bits a weight, four weights a byte, 32 apart."""
    packed = blocks[:, 16:80].reshape(-1, 2, 1, 32)
    values = (packed >> np.array([0, 2, 4, 6], np.uint8)[:, None]) & 3
    scales, minima = blocks[:, :16, None] & 15, blocks[:, :16, None] >> 4
    scale, minimum = _scale(blocks, 80)[:, :, None], _scale(blocks, 82)[:, :, None]
    floats: Floats = scale * scales * values.reshape(-1, 16, 16) - minimum * minima
    return floats


def _q3_k(blocks: Bytes) -> Floats:
    """16 sub-blocks of 16 with a 6-bit signed scale each; two low bits as in Q2_K, the third in a mask of its own."""
    packed = blocks[:, 32:96].reshape(-1, 2, 1, 32)
    low = (packed >> np.array([0, 2, 4, 6], np.uint8)[:, None]) & 3
    high = (blocks[:, None, :32] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    values = low.reshape(-1, 16, 16).astype(np.int8) - ((high.reshape(-1, 16, 16) ^ 1) << 2).astype(np.int8)
    raw = blocks[:, 96:108]
    low_scales = np.concatenate([raw[:, :8] & 15, raw[:, :8] >> 4], axis=1)
    high_scales = (raw[:, None, 8:] >> np.array([0, 2, 4, 6], np.uint8)[:, None]) & 3
    scales = (low_scales | high_scales.reshape(-1, 16) << np.uint8(4)).astype(np.int8) - np.int8(32)
    floats: Floats = _scale(blocks, 108)[:, :, None] * scales[:, :, None].astype(np.float32) * values
    return floats


def _six_bit_scales(raw: Bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The 8 scales and 8 minima of 6 bits each in 12 bytes of Q4_K and Q5_K, [N, 8]."""
    first, second, third = raw[:, :4], raw[:, 4:8], raw[:, 8:]
    scales = np.concatenate([first & 63, (third & 15) | (first >> 6) << np.uint8(4)], axis=1)
    minima = np.concatenate([second & 63, (third >> 4) | (second >> 6) << np.uint8(4)], axis=1)
    return scales, minima


def _q4_k(blocks: Bytes) -> Floats:
    """8 sub-blocks of 32: each 32 bytes hold one in the low halves and the next in the high ones."""
    packed = blocks[:, 16:].reshape(-1, 4, 1, 32)
    values = (packed >> np.array([0, 4], np.uint8)[:, None]) & 15
    return _with_minima(blocks, values.reshape(-1, 8, 32))


def _q5_k(blocks: Bytes) -> Floats:
    """As Q4_K, with the fifth bits in 32 bytes, a bit for each sub-block."""
    packed = blocks[:, 48:].reshape(-1, 4, 1, 32)
    values = ((packed >> np.array([0, 4], np.uint8)[:, None]) & 15).reshape(-1, 8, 32)
    fifth = (blocks[:, None, 16:48] >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    return _with_minima(blocks, values | fifth << np.uint8(4))


def _with_minima(blocks: Bytes, values: NDArray[np.integer[Any]]) -> Floats:
    scales, minima = _six_bit_scales(blocks[:, 4:16])
    steps = _scale(blocks, 0) * scales
    floats: Floats = steps[:, :, None] * values - (_scale(blocks, 2) * minima)[:, :, None]
    return floats


def _q6_k(blocks: Bytes) -> Floats:
    """Two halves of 128: four low bits in 64 bytes, two high bits in 32; 16 sub-blocks of 16 with int8 scales."""
    low_packed = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = ((low_packed >> np.array([0, 4], np.uint8)[:, None]) & 15).reshape(-1, 2, 4, 32)
    high = (blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8)[:, None]) & 3
    values = (low | high << np.uint8(4)).reshape(-1, 16, 16).astype(np.int8) - np.int8(32)
    scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8)
    return (_scale(blocks, 208) * scales)[:, :, None] * values


_DECODERS: dict[str, tuple[int, Callable[[Bytes], Floats]]] = {
    "Q4_0": (18, _q4_0),
    "Q4_1": (20, _q4_1),
    "Q5_0": (22, _q5_0),
    "Q5_1": (24, _q5_1),
    "Q8_0": (34, _q8_0),
    "Q2_K": (84, _q2_k),
    "Q3_K": (110, _q3_k),
    "Q4_K": (144, _q4_k),
    "Q5_K": (176, _q5_k),
    "Q6_K": (210, _q6_k),
}
