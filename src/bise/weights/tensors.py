"""One tensor where it lies: read by rows, as floats or as integers with scales, whatever the file's format.

This is the seam between file formats and everything else: a format makes a `Stored` of each tensor, and engine, conversion
and export read rows. Files are mapped, so what is not read costs nothing.
"""

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bise.weights.int4 import unpack_nibbles

GROUP_SIZE = 32
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # NumPy has no bfloat16: the upper half of a float32
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
FLOATS = ("F32", "F16", "BF16")
BITS = {"I8": 8, "U8": 4}  # of quantised matrices
_PART_WEIGHTS = 4 << 20

Rows = slice | NDArray[np.integer[Any]]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class QuantisedTensor:
    """Integer weights: `values * scales` (each scale for one group along the input) is the float weight."""

    values: NDArray[np.int8]  # [rows, columns], -127..127 with 8 bits, -8..7 with 4
    scales: NDArray[np.float16]  # [rows, columns / group_size]
    bits: int = 8


class Stored(Protocol):
    """A tensor in a file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows first."""

    @property
    def dtype(self) -> str:
        """A key of DTYPES: of FLOATS, or of BITS for integers with scales."""

    def floats(self, rows: Rows) -> Floats:
        """Some rows as float32."""

    def integers(self, rows: Rows) -> QuantisedTensor:
        """Some rows of a quantised tensor."""

    def release(self) -> None:
        """Let the system take back the memory of what was read; it can be read again."""


@dataclass(frozen=True)
class Region:
    """Some bytes of a mapped file."""

    file: mmap.mmap
    start: int
    end: int

    def table(self, rows: int) -> NDArray[np.uint8]:
        """The bytes as [rows, bytes of a row]."""
        return np.frombuffer(self.file, np.uint8, self.end - self.start, self.start).reshape(rows, -1)

    def release(self) -> None:
        """Drop the pages from this process."""
        first = self.start // mmap.PAGESIZE * mmap.PAGESIZE
        if self.end > self.start and hasattr(mmap, "MADV_DONTNEED"):
            self.file.madvise(mmap.MADV_DONTNEED, first, self.end - first)


@dataclass(frozen=True)
class PlainTensor:
    """Numbers one after another, as safetensors and GGUF hold floats."""

    region: Region
    dtype: str
    shape: tuple[int, ...]

    def array(self, rows: Rows) -> NDArray[Any]:
        """Some rows in the stored type; a view where the file's alignment allows one."""
        part = self.region.table(max(1, self.shape[0]))[rows]
        return np.require(part.view(DTYPES[self.dtype]), requirements="A").reshape(-1, *self.shape[1:])

    def floats(self, rows: Rows) -> Floats:
        """Some rows as float32."""
        return widen(self.array(rows))

    def integers(self, rows: Rows) -> QuantisedTensor:  # noqa: ARG002
        """Plain numbers have no scales."""
        raise AssertionError(f"{self.dtype} has no scales")

    def release(self) -> None:
        """Drop the pages."""
        self.region.release()


@dataclass(frozen=True)
class ScaledTensor:
    """Integers beside their scales, as the model store holds them (layout: `spec.py`)."""

    values: PlainTensor
    scales: PlainTensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weights."""
        rows, columns = self.values.shape
        return rows, columns * 8 // BITS[self.dtype]

    @property
    def dtype(self) -> str:
        """Of the integers."""
        return self.values.dtype

    def floats(self, rows: Rows) -> Floats:
        """Some rows as float32."""
        return dequantise(self.integers(rows))

    def integers(self, rows: Rows) -> QuantisedTensor:
        """Some rows: a view of the file with 8 bits, unpacked to one value a byte with 4."""
        stored = self.values.array(rows)
        values = unpack_nibbles(stored) if self.dtype == "U8" else stored
        return QuantisedTensor(values, self.scales.array(rows), BITS[self.dtype])

    def release(self) -> None:
        """Drop the pages."""
        self.values.release()
        self.scales.release()


@dataclass(frozen=True)
class Reordered:
    """A tensor whose rows stand in another order in the file: row i is the file's row `order[i]`."""

    stored: Stored
    order: NDArray[np.intp]

    @property
    def shape(self) -> tuple[int, ...]:
        """The same."""
        return self.stored.shape

    @property
    def dtype(self) -> str:
        """The same."""
        return self.stored.dtype

    def floats(self, rows: Rows) -> Floats:
        """Some rows as float32."""
        return self.stored.floats(self.order[rows])

    def integers(self, rows: Rows) -> QuantisedTensor:
        """Some rows of a quantised tensor."""
        return self.stored.integers(self.order[rows])

    def release(self) -> None:
        """Drop the pages."""
        self.stored.release()


def widen(raw: NDArray[Any]) -> Floats:
    """A stored float tensor as float32; the only unsigned one is bfloat16."""
    if raw.dtype == np.uint16:
        wide = raw.astype(np.uint32)
        wide <<= 16
        return wide.view(np.float32)
    return raw.astype(np.float32, copy=False)


def narrow(values: Floats, dtype: str) -> NDArray[Any]:
    """Float32 in a type of FLOATS, rounded to nearest, ties to even; too large a value becomes infinity."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    with np.errstate(over="ignore"):
        return values.astype(DTYPES[dtype], copy=False)


def dequantise(tensor: QuantisedTensor) -> Floats:
    """Integers times their group's scale, in float32."""
    rows, columns = tensor.values.shape
    groups = tensor.values.reshape(rows, tensor.scales.shape[1], -1).astype(np.float32)
    return (groups * tensor.scales.astype(np.float32)[:, :, None]).reshape(rows, columns)


def row_parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that together are the tensor, each of about 16 MB of float32."""
    step = max(1, _PART_WEIGHTS // max(1, math.prod(shape[1:])))
    return (slice(start, min(start + step, shape[0])) for start in range(0, shape[0], step))


def scales_name(name: str) -> str:
    """The name of the scales that stand beside a quantised `X.weight`."""
    return name.removesuffix(".weight") + ".scales"


def pairs_to_halves(heads: int, head_dim: int) -> NDArray[np.intp]:
    """The order of rows that turns interleaved rotary pairs (2j, 2j + 1) into half-split ones (j, j + head_dim / 2).

    `interleaved[order]` is half-split. Its inverse is `halves_to_pairs`.
    """
    rows = np.arange(heads * head_dim).reshape(heads, head_dim // 2, 2)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(-1)


def halves_to_pairs(heads: int, head_dim: int) -> NDArray[np.intp]:
    """The order of rows that turns half-split rotary pairs into interleaved ones."""
    rows = np.arange(heads * head_dim).reshape(heads, 2, head_dim // 2)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(-1)
