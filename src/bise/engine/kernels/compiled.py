"""The kernels for numba; `reference.py` says what each computes. Signatures are fixed, so nothing compiles by surprise."""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.simd import make_dot
from bise.engine.kernels.table import BLOCK, Floats, Ints, Kernels, Progress

float_4x1, float_1x2, float_1x1 = (make_dot(*shape, integers=False) for shape in ((4, 1), (1, 2), (1, 1)))
int8_4x1, int8_1x2, int8_1x1 = (make_dot(*shape, integers=True) for shape in ((4, 1), (1, 2), (1, 1)))


def rms_norm(x: Floats, weight: Floats, epsilon: float, out: Floats) -> None:
    """Each token over the root of its mean square."""
    tokens, columns = x.shape
    for t in range(tokens):
        total = np.float32(0)
        for i in range(columns):
            total += x[t, i] * x[t, i]
        scale = np.float32(1) / np.sqrt(total / np.float32(columns) + np.float32(epsilon))
        for i in range(columns):
            out[t, i] = x[t, i] * scale * weight[i]


def matmul_float(x: Floats, tiles: Floats, first: int, last: int, out: Floats) -> None:
    """Tokens in fours share each weight that is read; the rest go one by one over two tiles."""
    tokens = x.shape[0]
    fours = tokens - tokens % 4
    for tile in range(first, last):
        for token in range(0, fours, 4):
            float_4x1(x, tiles, tiles, out, token, tile)
    for token in range(fours, tokens):
        for tile in range(first, last - 1, 2):
            float_1x2(x, tiles, tiles, out, token, tile)
        if (last - first) % 2:
            float_1x1(x, tiles, tiles, out, token, last - 1)


def matmul_int8(x: Floats, tiles: NDArray[np.int8], scales: Floats, first: int, last: int, out: Floats) -> None:
    """As `matmul_float`, with integers scaled in registers."""
    tokens = x.shape[0]
    fours = tokens - tokens % 4
    for tile in range(first, last):
        for token in range(0, fours, 4):
            int8_4x1(x, tiles, scales, out, token, tile)
    for token in range(fours, tokens):
        for tile in range(first, last - 1, 2):
            int8_1x2(x, tiles, scales, out, token, tile)
        if (last - first) % 2:
            int8_1x1(x, tiles, scales, out, token, last - 1)


def rotate_and_store(
    qkv: Floats,
    positions: Ints,
    slots: Ints,
    cosines: Floats,
    sines: Floats,
    num_heads: int,
    keys: Floats,
    values: Floats,
) -> None:
    """RoPE in place, then keys and values to their slots."""
    num_kv_heads, head_dim = keys.shape[1], keys.shape[3]
    half = head_dim // 2
    rotated = num_heads + num_kv_heads
    for t in range(qkv.shape[0]):
        block, place, position = slots[t] // BLOCK, slots[t] % BLOCK, positions[t]
        for head in range(rotated):
            start = head * head_dim
            for i in range(half):
                first, second = qkv[t, start + i], qkv[t, start + half + i]
                cosine, sine = cosines[position, i], sines[position, i]
                qkv[t, start + i] = first * cosine - second * sine
                qkv[t, start + half + i] = second * cosine + first * sine
        for head in range(num_kv_heads):
            for i in range(head_dim):
                keys[block, head, place, i] = qkv[t, (num_heads + head) * head_dim + i]
                values[block, head, place, i] = qkv[t, (rotated + head) * head_dim + i]


def attention(
    qkv: Floats,
    positions: Ints,
    sequences: Ints,
    blocks: Ints,
    keys: Floats,
    values: Floats,
    out: Floats,
) -> None:
    """Scores, softmax and weighted sum, one head of one token at a time."""
    num_kv_heads, head_dim = keys.shape[1], keys.shape[3]
    num_heads = out.shape[1] // head_dim
    group = num_heads // num_kv_heads
    scale = np.float32(1.0 / math.sqrt(head_dim))
    scores = np.empty(blocks.shape[1] * BLOCK, np.float32)
    for t in range(out.shape[0]):
        length = positions[t] + 1
        table = blocks[sequences[t]]
        for head in range(num_heads):
            kv_head, start = head // group, head * head_dim
            largest = np.float32(-np.inf)
            for j in range(length):
                block, place = table[j // BLOCK], j % BLOCK
                score = np.float32(0)
                for i in range(head_dim):
                    score += qkv[t, start + i] * keys[block, kv_head, place, i]
                scores[j] = score * scale
                largest = max(largest, scores[j])
            total = np.float32(0)
            for j in range(length):
                scores[j] = np.exp(scores[j] - largest)
                total += scores[j]
            for i in range(head_dim):
                out[t, start + i] = np.float32(0)
            for j in range(length):
                block, place, weight = table[j // BLOCK], j % BLOCK, scores[j] / total
                for i in range(head_dim):
                    out[t, start + i] += weight * values[block, kv_head, place, i]


def silu_gate(gate_up: Floats, out: Floats) -> None:
    """silu(gate) * up."""
    tokens, columns = out.shape
    for t in range(tokens):
        for i in range(columns):
            gate = gate_up[t, i]
            out[t, i] = gate / (np.float32(1) + np.exp(-gate)) * gate_up[t, columns + i]


_SIGNATURES: dict[str, tuple[Callable[..., None], str]] = {
    "rms_norm": (rms_norm, "void(f4[:,::1], f4[::1], f8, f4[:,::1])"),
    "matmul_float": (matmul_float, "void(f4[:,::1], f4[:,:,::1], i8, i8, f4[:,::1])"),
    "matmul_int8": (matmul_int8, "void(f4[:,::1], i1[:,:,::1], f4[:,:,::1], i8, i8, f4[:,::1])"),
    "rotate_and_store": (
        rotate_and_store,
        "void(f4[:,::1], i4[::1], i4[::1], f4[:,::1], f4[:,::1], i8, f4[:,:,:,::1], f4[:,:,:,::1])",
    ),
    "attention": (
        attention,
        "void(f4[:,::1], i4[::1], i4[::1], i4[:,::1], f4[:,:,:,::1], f4[:,:,:,::1], f4[:,::1])",
    ),
    "silu_gate": (silu_gate, "void(f4[:,::1], f4[:,::1])"),
}


KERNEL_NAMES = tuple(_SIGNATURES)


def load_kernels(progress: Progress | None = None) -> Kernels:
    """Compile every kernel, or load it from the cache."""
    compiled: dict[str, Any] = {}
    for done, (name, (function, signature)) in enumerate(_SIGNATURES.items()):
        if progress is not None:
            progress(name, done, len(_SIGNATURES))
        compiled[name] = _compile(function, signature)
    return Kernels("numba", **compiled)


@cache
def _compile(function: Callable[..., None], signature: str) -> Any:
    return compile_kernel(function, signature)
