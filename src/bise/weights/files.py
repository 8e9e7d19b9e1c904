"""A model directory's tensors, memory-mapped and checked: `open_weights(directory)`.

The header of a safetensors file is JSON that a stranger may have written, so it is read here with every number checked
against the size of the file before anything is allocated. Data is mapped, not read: opening a model costs no memory.
"""

import json
import math
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.weights.int4 import unpack_nibbles
from bise.weights.spec import ModelSpec, Quantisation, read_spec

WEIGHTS_FILE = "model.safetensors"
GROUP_SIZE = 32
_PART_WEIGHTS = 4 << 20
_MAX_HEADER_BYTES = 64 << 20  # a model of a thousand layers needs less than 2 MB
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),  # NumPy has no bfloat16: the upper half of a float32
    "I8": np.dtype("i1"),
    "U8": np.dtype("u1"),
}
_FLOATS = ("F32", "F16", "BF16")
BITS = {"I8": 8, "U8": 4}  # of quantised matrices


@dataclass(frozen=True)
class TensorEntry:
    """Where one tensor lies in the data part of a safetensors file."""

    dtype: str  # a key of DTYPES
    shape: tuple[int, ...]
    start: int  # bytes from the beginning of the data
    end: int


@dataclass(frozen=True)
class QuantisedTensor:
    """Integer weights: `values * scales` (each scale for one group along the input) is the float weight."""

    values: NDArray[np.int8]  # [rows, columns], -127..127 with 8 bits, -8..7 with 4
    scales: NDArray[np.float16]  # [rows, columns / group_size]
    bits: int = 8


class Weights:
    """The tensors of one model under canonical names, read on demand; made by `open_weights`."""

    def __init__(self, path: Path, spec: ModelSpec, entries: dict[str, TensorEntry], data: memoryview) -> None:
        self.path = path
        self.spec = spec
        self.entries = entries
        self._data = data

    def tensor(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, in its canonical shape: a view where the file holds float32, else a copy.

        Raises:
            InputError: the tensor holds NaN or infinity, as a damaged file does.
        """
        if self.is_quantised(name):
            return dequantise(self.quantised(name))
        tensor = _widen(self._raw(name))
        self.require_numbers(name, tensor)
        return tensor

    def rows(self, name: str, rows: slice | NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """Some rows of a matrix as float32, [rows, columns]; nothing else is read, and nothing is checked."""
        if self.is_quantised(name):
            scales = self._raw(scales_name(name))[rows]
            return dequantise(QuantisedTensor(self._integers(name, rows), scales))
        return _widen(self._raw(name)[rows])

    def is_quantised(self, name: str) -> bool:
        """Whether the tensor is stored as integers with scales."""
        return self.entries[name].dtype in BITS

    def quantised(self, name: str) -> QuantisedTensor:
        """One quantised tensor: a view of the file with 8 bits, unpacked to one value a byte with 4.

        Raises:
            InputError: a scale is NaN or infinity, as in a damaged file.
        """
        scales = self._raw(scales_name(name))
        self.require_numbers(scales_name(name), scales)
        return QuantisedTensor(self._integers(name, slice(None)), scales, BITS[self.entries[name].dtype])

    def check_tensor(self, name: str) -> None:
        """Read a tensor, or the scales of a quantised one, a part at a time.

        Raises:
            InputError: it holds NaN or infinity.
        """
        name = scales_name(name) if self.is_quantised(name) else name
        for part in row_parts(self.entries[name].shape):
            self.require_numbers(name, self.rows(name, part))

    def _integers(self, name: str, rows: slice | NDArray[np.integer[Any]]) -> NDArray[np.int8]:
        stored = self._raw(name)[rows]
        return unpack_nibbles(stored) if stored.dtype == np.uint8 else stored

    def require_numbers(self, name: str, values: NDArray[Any]) -> None:
        """Refuse values of a tensor that are NaN or infinite."""
        if not np.isfinite(values.sum(dtype=np.float64)):  # one NaN or infinity makes the sum one
            raise InputError(
                f"The tensor {name} in {self.path} holds values that are not numbers. Pull or train the model again."
            )

    def _raw(self, name: str) -> NDArray[Any]:
        entry = self.entries[name]
        flat = np.frombuffer(self._data[entry.start : entry.end], DTYPES[entry.dtype])
        return np.require(flat.reshape(entry.shape), requirements="A")


def open_weights(directory: Path) -> Weights:
    """Open a model directory; every tensor's name, shape and type is checked against its spec.json.

    Raises:
        InputError: a file is missing or damaged, or a tensor is missing, unknown or of another shape or type.
    """
    spec = read_spec(directory)
    path = directory / WEIGHTS_FILE
    entries, data = read_safetensors(path)
    if spec.num_layers > len(entries):  # before a table of that many layers is made
        raise InputError(f"spec.json asks for {spec.num_layers} layers, but {path} holds {len(entries)} tensors.")
    check_tensors(path, entries, expected_tensors(spec, path))
    return Weights(path, spec, entries, data)


def dequantise(tensor: QuantisedTensor) -> NDArray[np.float32]:
    """Integers times their group's scale, in float32."""
    rows, columns = tensor.values.shape
    groups = tensor.values.reshape(rows, tensor.scales.shape[1], -1).astype(np.float32)
    return (groups * tensor.scales.astype(np.float32)[:, :, None]).reshape(rows, columns)


def row_parts(shape: tuple[int, ...]) -> Iterator[slice]:
    """Slices of rows that together are the tensor, each of about 16 MB of float32."""
    step = max(1, _PART_WEIGHTS // max(1, math.prod(shape[1:])))
    return (slice(start, start + step) for start in range(0, shape[0], step))


def scales_name(name: str) -> str:
    """The name of the scales that stand beside a quantised `X.weight`."""
    return name.removesuffix(".weight") + ".scales"


def expected_tensors(spec: ModelSpec, path: Path) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Shape and allowed types of every tensor in the file of such a model: vectors stay float, matrices may not."""
    if spec.quantisation is None:
        return {name: (shape, _FLOATS) for name, shape in spec.tensor_shapes().items()}
    check_quantisation(spec, spec.quantisation, str(path.with_name("spec.json")))
    expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {}
    for name, shape in spec.tensor_shapes().items():
        if len(shape) == 1:
            expected[name] = (shape, _FLOATS)
            continue
        rows, columns = shape
        expected[name] = ((rows, columns), ("I8",)) if spec.matrix_bits(name) == 8 else ((rows, columns // 2), ("U8",))
        expected[scales_name(name)] = ((rows, columns // spec.quantisation.group_size), ("F16",))
    return expected


def check_quantisation(spec: ModelSpec, quantisation: Quantisation, where: str) -> None:
    """Refuse a quantisation that Bise does not have, or whose groups do not fit the matrices."""
    bits, size = quantisation.bits, quantisation.group_size
    if bits not in (4, 8) or size != GROUP_SIZE:
        raise InputError(
            f"{where}: quantisation is {bits} bits in groups of {size}, but only 8 or 4 bits in groups of {GROUP_SIZE} "
            "are supported."
        )
    for name, shape in spec.tensor_shapes().items():
        if len(shape) == 2 and shape[1] % size:
            raise InputError(
                f"{where}: {name} has {shape[1]} columns, which is not a multiple of the quantisation's group size "
                f"{size}. Keep such a model in 16 bits."
            )


def check_tensors(
    path: Path, entries: dict[str, TensorEntry], expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]]
) -> None:
    """Compare a file's tensors with what its spec asks for."""
    missing, unknown = sorted(set(expected) - set(entries)), sorted(set(entries) - set(expected))
    if missing:
        raise InputError(f"{path} lacks {_some(missing)}, which spec.json asks for. Pull or train the model again.")
    if unknown:
        raise InputError(f"{path} holds {_some(unknown)}, which spec.json does not know. Is it another model's file?")
    for name, (shape, dtypes) in expected.items():
        entry = entries[name]
        if entry.shape != shape:
            raise InputError(f"{path}: {name} has shape {entry.shape}, but spec.json asks for {shape}.")
        if entry.dtype not in dtypes:
            raise InputError(f"{path}: {name} is stored as {entry.dtype}, but must be {' or '.join(dtypes)}.")


def read_safetensors(path: Path) -> tuple[dict[str, TensorEntry], memoryview]:
    """Map a safetensors file and read its header: the entries by name, and the data they point into."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) if size else memoryview(b"")
    except FileNotFoundError:
        raise InputError(f"{path.parent} has no {path.name}. Pull or train the model again.") from None
    except OSError as error:
        raise InputError(f"{path} could not be read: {error}.") from None
    header_size = int.from_bytes(view[:8], "little")
    if size < 8 or header_size > min(size - 8, _MAX_HEADER_BYTES):
        raise _damaged(path, f"it has {size} bytes and claims a header of {header_size}")
    header = _parse_header(path, bytes(view[8 : 8 + header_size]))
    data = view[8 + header_size :]
    entries = {name: _parse_entry(path, name, entry) for name, entry in header.items() if name != "__metadata__"}
    _check_layout(path, entries, len(data))
    return entries, data


def _widen(raw: NDArray[Any]) -> NDArray[np.float32]:
    """A stored float tensor as float32; the only unsigned one is bfloat16."""
    if raw.dtype == np.uint16:
        return (raw.astype(np.uint32) << 16).view(np.float32)
    return raw.astype(np.float32, copy=False)


def _parse_header(path: Path, text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):  # not JSON, not UTF-8, an absurd number, or nested without end
        raise _damaged(path, "its header is not JSON") from None
    if not isinstance(header, dict):
        raise _damaged(path, f"its header is a {type(header).__name__}, not a table")
    return header


def _parse_entry(path: Path, name: str, entry: Any) -> TensorEntry:
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= set(entry):
        raise _damaged(path, f"the entry of {name!r} in its header is incomplete")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise InputError(f"{path}: {name!r} is stored as {dtype!r}, but Bise reads only {', '.join(DTYPES)}.")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise _damaged(path, f"{name!r} has shape {shape!r} and offsets {offsets!r}")
    if math.prod(shape) * DTYPES[dtype].itemsize != offsets[1] - offsets[0]:
        raise _damaged(path, f"{name!r} of shape {shape} ({dtype}) does not fill bytes {offsets[0]} to {offsets[1]}")
    return TensorEntry(dtype, tuple(shape), offsets[0], offsets[1])


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(v) is int and 0 <= v < 2**62 for v in values)


def _check_layout(path: Path, entries: dict[str, TensorEntry], data_size: int) -> None:
    """The format allows no holes and no overlaps; this also finds a file that was cut short."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].end)):
        if entry.start != position:
            raise _damaged(path, f"{name!r} begins at byte {entry.start} of the data, not at {position}")
        position = entry.end
    if position != data_size:
        raise _damaged(path, f"its header describes {position} bytes of data and the file holds {data_size}")


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged: {reason}. Pull, copy or train the model again.")


def _some(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} more tensors" if rest else f"the tensor {first}"
