"""The kernels for numba; `reference.py` says what each computes. Signatures are fixed, so nothing compiles by surprise."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.attention import MAX_ROWS, call_attend, load_attend, scratch_floats
from bise.engine.kernels.cache import compile_kernel, is_complete, mark_complete
from bise.engine.kernels.cells import PRECISIONS, Cells
from bise.engine.kernels.control import load_announce
from bise.engine.kernels.halves import second_process
from bise.engine.kernels.instructions import InstructionSet, available, choose_instruction_set
from bise.engine.kernels.packing import load_packing
from bise.engine.kernels.prepare import load_prepare
from bise.engine.kernels.simd import make_dot
from bise.engine.kernels.step import load_step
from bise.engine.kernels.store import store_row
from bise.engine.kernels.table import BLOCK, Floats, Ints, Kernels, Progress
from bise.engine.kernels.tiles import load_product
from bise.engine.kernels.vectors import address

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
    cells: Cells,
    precision: int,
) -> None:
    """RoPE in place, then keys and values to their slots."""
    num_kv_heads, half = cells.shape[1], cosines.shape[1]
    rotated, head_dim = num_heads + num_kv_heads, 2 * half
    padded = (head_dim + 15) // 16 * 16
    row, scratch = np.zeros(padded, np.float32), np.empty(padded + 64, np.float32)
    row_at, scratch_at = address(row), address(scratch)
    for t in range(qkv.shape[0]):
        block, place, position = slots[t] // BLOCK, slots[t] % BLOCK, positions[t]
        for head in range(rotated):
            start = head * head_dim
            for i in range(half):
                first, second = qkv[t, start + i], qkv[t, start + half + i]
                cosine, sine = cosines[position, i], sines[position, i]
                qkv[t, start + i] = first * cosine - second * sine
                qkv[t, start + half + i] = second * cosine + first * sine
        for head in range(num_heads, rotated + num_kv_heads):
            row[:head_dim] = qkv[t, head * head_dim : (head + 1) * head_dim]
            cell = address(cells) + (block * num_kv_heads + (head - num_heads) % num_kv_heads) * cells.shape[2]
            store_row(precision, head < rotated, row_at, cell, np.int64(place), padded, scratch_at)


def attention(
    qkv: Floats,
    positions: Ints,
    sequences: Ints,
    blocks: Ints,
    cells: Cells,
    attend: int,
    num_heads: int,
    window: int,
    out: Floats,
) -> None:
    """Each token's heads of one group together; `attend` is the address of the precision's function."""
    num_kv_heads, cell_size = cells.shape[1], cells.shape[2]
    head_dim, group = out.shape[1] // num_heads, num_heads // num_kv_heads
    padded = (head_dim + 15) // 16 * 16
    scale = np.float32(1.0 / math.sqrt(head_dim))
    scratch = np.empty(scratch_floats(padded), np.float32)
    queries, results = np.zeros((MAX_ROWS, padded), np.float32), np.empty((MAX_ROWS, padded), np.float32)
    for t in range(out.shape[0]):
        for kv_head in range(num_kv_heads):
            cell = address(cells) + kv_head * cell_size
            table = address(blocks) + 4 * blocks.shape[1] * np.int64(sequences[t])
            for first in range(0, group, MAX_ROWS):
                heads = min(MAX_ROWS, group - first)
                start = (kv_head * group + first) * head_dim
                queries[:heads, :head_dim] = qkv[t, start : start + heads * head_dim].reshape(heads, head_dim)
                call_attend(
                    attend,
                    address(queries),
                    0,
                    address(results),
                    0,
                    1,
                    heads,
                    np.int64(positions[t]),
                    window,
                    padded,
                    scale,
                    table,
                    cell,
                    num_kv_heads * cell_size,
                    address(scratch),
                )
                out[t, start : start + heads * head_dim] = results[:heads, :head_dim].copy().reshape(-1)


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
        "void(f4[:,::1], i4[::1], i4[::1], f4[:,::1], f4[:,::1], i8, u1[:,:,::1], i8)",
    ),
    "attention": (
        attention,
        "void(f4[:,::1], i4[::1], i4[::1], i4[:,::1], u1[:,:,::1], i8, i8, i8, f4[:,::1])",
    ),
    "silu_gate": (silu_gate, "void(f4[:,::1], f4[:,::1])"),
}


def load_kernels(progress: Progress | None = None, set_name: str = "auto", *, operations: bool = True) -> Kernels:
    """Compile the kernels, or load them from the cache, for an instruction set or the best; `progress` hears of compiling.

    Without `operations`, those that the fused path does not need wait until somebody calls them.
    """
    instruction_set = choose_instruction_set(set_name)
    loaders = loaders_for(instruction_set, operations=operations)
    name = instruction_set.name if instruction_set is not None else None
    needed = {name, None} if operations else {name}  # None: single operations
    if all(map(is_complete, needed)):
        progress = None
    with second_process(name, tuple(loaders)) as elsewhere:
        _load([kernel for kernel in loaders if kernel not in elsewhere], 0, loaders, progress)
    _load(elsewhere, len(loaders) - len(elsewhere), loaders, progress)
    for part in needed:
        mark_complete(part)
    single = _single_operations()
    compiled = {name: load() if name in loaders else _when_called(load) for name, load in single.items()}
    return Kernels("numba", instruction_set, **compiled | {"attention": _attention_of(compiled["attention"])})


def loaders_for(instruction_set: InstructionSet | None, *, operations: bool = True) -> dict[str, Callable[[], Any]]:
    """What compiles each kernel that is needed, by the names that progress shows."""
    loaders = fused_loaders(instruction_set) if instruction_set is not None else {}
    return loaders | _single_operations() if operations or instruction_set is None else loaders


def _load(
    names: Iterable[str], first: int, loaders: Mapping[str, Callable[[], Any]], progress: Progress | None
) -> None:
    for done, name in enumerate(names, first):
        if progress is not None:
            progress(name, done, len(loaders))
        loaders[name]()


def _single_operations() -> dict[str, Callable[[], Any]]:
    return {name: partial(_compile, *kernel) for name, kernel in _SIGNATURES.items()}


def _when_called(load: Callable[[], Any]) -> Callable[..., None]:
    def kernel(*arguments: Any) -> None:
        load()(*arguments)

    return kernel


def fused_loaders(instruction_set: InstructionSet) -> dict[str, Callable[[], Any]]:
    """What the fused path needs, by the names that progress shows."""
    name, wide = instruction_set.name, instruction_set.name == "avx512"
    return {
        "products with 4 bits": partial(load_product, name, 4),
        "products with 8 bits": partial(load_product, name, 8),
        "packing": load_packing,
        "attention over fp16": partial(load_attend, "fp16", wide),
        "attention over int8": partial(load_attend, "int8", wide),
        "step": partial(load_step, name),
        "batch": load_prepare,
        "threads": load_announce,
    }


def _attention_of(compiled: Callable[..., None]) -> Callable[..., None]:
    """`attention` with the number of a precision instead of the address of its function."""
    wide = "avx512" in available()

    def attention_of(*arguments: Any) -> None:
        *before, precision, num_heads, window, out = arguments
        compiled(*before, load_attend(PRECISIONS[precision], wide), num_heads, window, out)

    return attention_of


@cache
def _compile(function: Callable[..., None], signature: str) -> Any:
    return compile_kernel(function, signature)
