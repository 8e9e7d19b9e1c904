"""GGUF files, versions 2 and 3: the header read with every number checked, and files written.

A GGUF file is metadata (keys with typed values; a vocabulary is a few long arrays among them), a table of tensors, and
their bytes, each tensor at a multiple of the alignment. A stranger may have written it, so nothing is allocated, and
nothing is mapped as a tensor, before its size has been compared with what the file can hold. Format: the specification
in the ggml repository, docs/gguf.md.
"""

import math
import mmap
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError

MAGIC = b"GGUF"
VERSION = 3
_READ_VERSIONS = (2, 3)
_ALIGNMENT_KEY = "general.alignment"
_ALIGNMENT = 32
# Larger than any model people have: a header beyond these bounds is an attempt to fill the memory.
_MAX_HEADER_BYTES = 512 << 20
_MAX_KEYS = 1 << 16
_MAX_TENSORS = 1 << 17
_MAX_STRINGS = 1 << 22  # of one array: vocabularies have 2^18, their merges 2^19
_MAX_NUMBERS = 1 << 24
_MAX_NAME_BYTES = 1 << 16
_MAX_DIMENSIONS = 4
_MAX_SIZE = 1 << 48
_STRING, _ARRAY, _BOOL, _FLOAT = 8, 9, 7, 6
_NUMBERS = {
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "<u1",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}

# Number of the type -> its name, weights in a block, bytes of a block.
TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
_OTHER_TYPES = {
    9: "Q8_1", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S",
    22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16", 26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 34: "TQ1_0",
    35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip

Value = bool | int | float | str | list[str] | NDArray[Any]
"""A value of the metadata: arrays of strings are lists, arrays of numbers are NumPy's."""


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies."""

    type: str  # a name in TYPES
    shape: tuple[int, ...]  # rows first, as everywhere but in the file, which counts from the innermost
    start: int  # bytes from the beginning of the file
    end: int


@dataclass(frozen=True)
class Header:
    """What stands before the tensors."""

    metadata: dict[str, Value]
    tensors: dict[str, Tensor] = field(default_factory=dict)

    def text(self, key: str, default: str = "") -> str:
        """A string of the metadata; the default when it is absent or something else."""
        value = self.metadata.get(key, default)
        return value if isinstance(value, str) else default


def is_gguf(path: Path) -> bool:
    """Whether a file calls itself GGUF, whatever its name: Ollama's are named by hash."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def open_gguf(path: Path) -> tuple[Header, mmap.mmap]:
    """Map a GGUF file and read its header.

    Raises:
        InputError: the file is missing, no GGUF, of another version, damaged, or holds tensors of unknown types.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) < len(MAGIC):
                raise _damaged(path, "it is empty")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise InputError(f"{path} could not be read: {error.strerror}. Give the path of a GGUF file.") from None
    return read_header(path, data), data


def read_header(path: Path, data: mmap.mmap | bytes) -> Header:
    """Read the header from a file's bytes; `path` is for error messages."""
    reader = _Reader(path, data)
    if reader.take(4) != MAGIC:
        raise InputError(f"{path} is no GGUF file: it does not begin with GGUF. Fetch or export it again.")
    version = reader.number("<I")
    if version not in _READ_VERSIONS:
        raise InputError(
            f"{path} is GGUF of version {version}. Bise reads versions 2 and 3, from little-endian machines: convert it."
        )
    num_tensors, num_keys = reader.number("<Q"), reader.number("<Q")
    if num_tensors > min(_MAX_TENSORS, len(data) // 32) or num_keys > min(_MAX_KEYS, len(data) // 13):
        raise _damaged(path, f"it claims {num_tensors} tensors and {num_keys} keys in {len(data)} bytes")
    metadata: dict[str, Value] = {}
    for _ in range(num_keys):
        key = reader.name()
        if key in metadata:
            raise _damaged(path, f"it has the key {key!r} twice")
        metadata[key] = reader.value(key)
    records = [reader.tensor() for _ in range(num_tensors)]
    return Header(metadata, _place_tensors(path, records, metadata, reader.position, len(data)))


class _Reader:
    """A position in the bytes; what would lie beyond the end is refused."""

    def __init__(self, path: Path, data: mmap.mmap | bytes) -> None:
        self.path = path
        self._data = data
        self._end = min(len(data), _MAX_HEADER_BYTES)
        self.position = 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > self._end - self.position:
            raise _damaged(self.path, f"{count} bytes at {self.position} lie beyond the end of its header or file")
        self.position += count
        return self._data[self.position - count : self.position]

    def number(self, form: str) -> Any:
        """One number of a struct form."""
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def name(self) -> str:
        """The name of a key or tensor."""
        size = self.number("<Q")
        if size > _MAX_NAME_BYTES:
            raise _damaged(self.path, f"it has a name of {size} bytes")
        return self._decode(self.take(size))

    def value(self, key: str) -> Value:
        """A typed value."""
        kind = self.number("<I")
        if kind == _STRING:
            return self._decode(self.take(self.number("<Q")))
        if kind == _ARRAY:
            return self._array(key)
        if kind not in _NUMBERS:
            raise _damaged(self.path, f"{key!r} has the unknown type {kind}")
        number = np.frombuffer(self.take(np.dtype(_NUMBERS[kind]).itemsize), _NUMBERS[kind])[0]
        if kind == _FLOAT:
            return float(str(number))  # 1e-05, which a float32 only comes close to
        value: bool | int | float = number.item()
        return bool(value) if kind == _BOOL else value

    def _array(self, key: str) -> Value:
        kind, count = self.number("<I"), self.number("<Q")
        if kind == _STRING and count <= min(_MAX_STRINGS, (self._end - self.position) // 8):
            return self._strings(count)
        if kind in _NUMBERS and count <= _MAX_NUMBERS:
            dtype = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(count * dtype.itemsize), dtype)
        raise _damaged(self.path, f"{key!r} is an array of {count} values of type {kind}")

    def _strings(self, count: int) -> list[str]:
        """Many strings in a row: the loop of loading a vocabulary."""
        data, position, end = self._data, self.position, self._end
        strings = []
        for _ in range(count):
            start = position + 8
            size = int.from_bytes(data[position:start], "little")
            position = start + size
            if position > end:
                raise _damaged(self.path, f"a string of {size} bytes at {start} lies beyond the end")
            strings.append(data[start:position])
        self.position = position
        try:
            return [text.decode() for text in strings]
        except UnicodeDecodeError as error:
            raise _damaged(self.path, f"a string of an array is not UTF-8: {error.reason}") from None

    def tensor(self) -> tuple[str, str, tuple[int, ...], int]:
        """One record of the table: name, type, shape and offset in the data."""
        name = self.name()
        num_dimensions = self.number("<I")
        if not 1 <= num_dimensions <= _MAX_DIMENSIONS:
            raise _damaged(self.path, f"{name!r} has {num_dimensions} dimensions")
        shape = tuple(self.number("<Q") for _ in range(num_dimensions))[::-1]
        kind, offset = self.number("<I"), self.number("<Q")
        if kind not in TYPES:
            known = ", ".join(known for known, _, _ in TYPES.values())
            raise InputError(
                f"{self.path}: {name!r} is stored as {_OTHER_TYPES.get(kind, f'type {kind}')}, but Bise reads only {known}. "
                "Fetch the model in one of these."
            )
        if not all(1 <= size < _MAX_SIZE for size in shape) or math.prod(shape) >= _MAX_SIZE or offset >= _MAX_SIZE:
            raise _damaged(self.path, f"{name!r} has shape {shape} at offset {offset}")
        return name, TYPES[kind][0], shape, offset

    def _decode(self, text: bytes) -> str:
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise _damaged(self.path, f"a string is not UTF-8: {error.reason}") from None


def _place_tensors(
    path: Path,
    records: Sequence[tuple[str, str, tuple[int, ...], int]],
    metadata: Mapping[str, Value],
    header_end: int,
    file_size: int,
) -> dict[str, Tensor]:
    """The tensors by name, each inside the file and none over another."""
    alignment = metadata.get(_ALIGNMENT_KEY, _ALIGNMENT)
    if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment & (alignment - 1):
        raise _damaged(path, f"its alignment is {alignment!r}")
    data_start = -(-header_end // alignment) * alignment
    tensors: dict[str, Tensor] = {}
    for name, kind, shape, offset in records:
        block, block_bytes = _BLOCKS[kind]
        if name in tensors or shape[-1] % block or offset % alignment:
            raise _damaged(path, f"{name!r} of shape {shape} ({kind}) at offset {offset} is misplaced or there twice")
        size = math.prod(shape) // block * block_bytes
        start = data_start + offset
        if start + size > file_size:
            raise _damaged(path, f"{name!r} ends at byte {start + size}, and the file has {file_size}")
        tensors[name] = Tensor(kind, shape, start, start + size)
    position = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].start):
        if tensor.start < position:
            raise _damaged(path, f"{name!r} lies over another tensor")
        position = tensor.end
    return tensors


_BLOCKS = {name: (block, block_bytes) for name, block, block_bytes in TYPES.values()}
_NUMBERS_OF_TYPES = {name: number for number, (name, _, _) in TYPES.items()}


def tensor_bytes(kind: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor of a type in TYPES."""
    block, block_bytes = _BLOCKS[kind]
    return math.prod(shape) // block * block_bytes


def write_gguf(
    path: Path,
    metadata: Mapping[str, Value],
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    parts: Iterable[NDArray[Any]] = (),
) -> None:
    """Write a GGUF file of version 3, absent or whole.

    Args:
        path: the new file.
        metadata: `int` values are written as uint32, `float` as float32; arrays of numbers keep their type.
        tensors: name -> (type, shape), rows first.
        parts: the tensors' bytes in this order, in parts that never hold bytes of two tensors.
    """
    sizes = [tensor_bytes(kind, shape) for kind, shape in tensors.values()]
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(MAGIC + struct.pack("<IQQ", VERSION, len(tensors), len(metadata)))
        for key, value in metadata.items():
            file.write(_text(key) + _encode(key, value))
        offset = 0
        for (name, (kind, shape)), size in zip(tensors.items(), sizes, strict=True):
            dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
            file.write(_text(name) + dimensions + struct.pack("<IQ", _NUMBERS_OF_TYPES[kind], offset))
            offset += -(-size // _ALIGNMENT) * _ALIGNMENT
        file.write(bytes(-file.tell() % _ALIGNMENT))
        ends = iter(sizes)
        left = 0
        for part in parts:
            if not left:
                file.write(bytes(-file.tell() % _ALIGNMENT))
                left = next(ends)
            left -= file.write(np.ascontiguousarray(part).data.cast("B"))
            assert left >= 0, "a part holds bytes of two tensors"
        assert not left, f"{left} bytes are missing"
        assert next(ends, None) is None, "tensors are missing"
        file.write(bytes(-file.tell() % _ALIGNMENT))
    temporary.replace(path)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _encode(key: str, value: Value) -> bytes:
    """A value with its type before it."""
    match value:
        case bool():
            return struct.pack("<I?", _BOOL, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", _FLOAT, value)
        case str():
            return struct.pack("<I", _STRING) + _text(value)
        case list():
            return struct.pack("<IIQ", _ARRAY, _STRING, len(value)) + b"".join(map(_text, value))
        case _:
            kinds = {np.dtype(form): kind for kind, form in _NUMBERS.items() if kind != _BOOL}
            assert value.dtype in kinds, f"{key} has type {value.dtype}"
            return struct.pack("<IIQ", _ARRAY, kinds[value.dtype], value.size) + value.tobytes()


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(f"{path} is damaged: {reason}. Fetch or export it again.")
