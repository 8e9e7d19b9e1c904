"""Adapters packed for the fused step: one piece of memory each, in the layouts of `kernels/lora.py`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.lora import DOWN, GATE_UP, OUTPUT, QUERY_KEY_VALUE, RANKS, RECORD_BYTES
from bise.engine.kernels.table import TILE, Floats
from bise.weights.adapters import AdapterWeights
from bise.weights.spec import ModelSpec

# The matrices that are the parts of each product.
PRODUCTS = {
    QUERY_KEY_VALUE: ("attention.wq", "attention.wk", "attention.wv"),
    OUTPUT: ("attention.wo",),
    GATE_UP: ("feed_forward.w1", "feed_forward.w3"),
    DOWN: ("feed_forward.w2",),
}
_LINE = 64  # bytes; everything begins at a cache line
_FLOAT16_BITS = 15  # numbers below 2 ** 15 fit
Halves = NDArray[np.float16]


@dataclass(frozen=True)
class FusedAdapter:
    """An adapter that the fused step can use."""

    records: NDArray[np.int64]  # [layers, products, 4], as the kernels read them
    memory: NDArray[Any]  # what the records point to
    rank: int  # filled up

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        return self.records.nbytes + self.memory.nbytes


def pack_adapter(adapter: AdapterWeights, model: ModelSpec) -> FusedAdapter:
    """Read and pack an adapter, a product at a time.

    Raises:
        InputError: it holds values that are not numbers.
    """
    rank = -(-adapter.spec.rank // RANKS) * RANKS
    records = np.zeros((model.num_layers, len(PRODUCTS), RECORD_BYTES // 8), np.int64)
    all_sizes, shapes = _sizes(adapter, model, rank), model.tensor_shapes()
    memory = aligned_bytes(sum(map(sum, all_sizes.values())))
    base, end = memory.__array_interface__["data"][0], 0
    for (layer, product), sizes in all_sizes.items():
        names = [f"layers.{layer}.{matrix}" for matrix in PRODUCTS[product]]
        parts, rows = [adapter.pair(name) for name in names], [shapes[f"{name}.weight"][0] for name in names]
        for place, (packed, size) in enumerate(zip(_pack(parts, rows, rank, adapter.spec.scale), sizes, strict=True)):
            memory[end : end + packed.nbytes] = packed.reshape(-1).view(np.uint8)
            records[layer, product, place] = base + end
            end += size
        records[layer, product, 3] = rank * len(rows)
    return FusedAdapter(records, memory, rank)


def aligned_bytes(size_bytes: int) -> NDArray[np.uint8]:
    """Unwritten memory that begins at a cache line."""
    memory = np.empty(size_bytes + _LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % _LINE
    return memory[start : start + size_bytes]


def _sizes(adapter: AdapterWeights, model: ModelSpec, rank: int) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Bytes of A, B and factors for each layer and product that the adapter adds to."""
    shapes, sizes = model.tensor_shapes(), {}
    adapted = set(adapter.spec.matrices(model.num_layers))
    for layer in range(model.num_layers):
        for product, matrices in PRODUCTS.items():
            names = [f"layers.{layer}.{matrix}" for matrix in matrices]
            if not adapted.isdisjoint(names):
                rows, columns = sum(shapes[f"{name}.weight"][0] for name in names), shapes[f"{names[0]}.weight"][1]
                ranks = rank * len(names)
                whole = (-(-size // _LINE) * _LINE for size in (2 * ranks * columns, 2 * rows * rank, 4 * ranks))
                sizes[layer, product] = (next(whole), next(whole), next(whole))
    return sizes


def _pack(
    parts: list[tuple[Floats, Floats] | None], rows: list[int], rank: int, scale: float
) -> Iterator[NDArray[Any]]:
    """A, B and factors of one product; a part without an adapter counts as zeros."""
    columns = next(a.shape[1] for a, _ in filter(None, parts))
    a = np.zeros((len(parts), rank, columns), np.float32)
    tiles, factors = [], np.zeros((len(parts), rank), np.float32)
    for index, part in enumerate(parts):
        b = np.zeros((rows[index], rank), np.float32)
        if part is not None:
            own = part[0].shape[0]
            a[index, :own], b[:, :own] = part
        a_exponents, b_exponents = _exponents(a[index], axis=1), _exponents(b, axis=0)
        a[index] = np.ldexp(a[index], -a_exponents[:, None])
        tiles.append(np.ldexp(b, -b_exponents).astype(np.float16).reshape(-1, TILE, rank).transpose(0, 2, 1))
        factors[index] = np.ldexp(np.float32(scale), a_exponents + b_exponents)
    eights = a.astype(np.float16).reshape(-1, RANKS, columns // 32, 32)
    yield np.ascontiguousarray(eights.transpose(0, 2, 1, 3))
    yield np.ascontiguousarray(_in_turn(tiles) if len(parts) == 2 else np.concatenate(tiles))
    yield factors


def _exponents(matrix: Floats, axis: int) -> NDArray[np.int32]:
    """The powers of two by which to divide so that the largest number just fits into float16."""
    exponents: NDArray[np.int32] = np.frexp(np.abs(matrix).max(axis=axis))[1]
    return exponents - _FLOAT16_BITS


def _in_turn(parts: list[Halves]) -> Halves:
    """The first tile of each, the second of each, and so on."""
    return np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:])
