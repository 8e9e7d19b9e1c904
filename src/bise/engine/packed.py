"""A model's matrices packed for the kernels, kept on the disk: packing is done once, and later starts map the file.

The file holds the matrices in the order in which the model asks for them, each at a page, and nothing else: it is named by
what it was packed from (the weights' file by path, size and time, the shape, and the source of the packing), so what it
must hold is known. It is written to the side and renamed; what nobody used for a month is deleted.
"""

import contextlib
import hashlib
import json
import logging
import mmap
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bise.config import cache_home
from bise.engine.kernels import packing
from bise.engine.kernels.packing import Bytes, empty_matrix, num_tiles, pack_matrix, pack_rows, tile_bytes
from bise.engine.kernels.table import TILE
from bise.machine_code import remove_unused
from bise.weights.files import Weights

log = logging.getLogger(__name__)

_LEAST_PARAMETERS = 50_000_000  # below, packing takes less time than it is worth
_FILE = "matrices.bin"


@dataclass(frozen=True)
class PackedMatrix:
    """A matrix in the layout of `kernels/packing.py`."""

    data: Bytes
    bits: int


class PackedMatrices:
    """The matrices of one model, asked for in the same order at every start; `finish` keeps what had to be packed."""

    def __init__(self, weights: Weights, least_parameters: int = _LEAST_PARAMETERS) -> None:
        self._weights = weights
        is_kept = weights.spec.num_parameters() >= least_parameters and weights.path.is_file()
        self._path = cache_path(weights) if is_kept else None
        self._kept = _map(self._path) if self._path else None
        self._position = 0
        self._made: list[Bytes] = []

    def joined(self, names: list[str]) -> PackedMatrix:
        """Matrices with whole tiles of rows one below the other."""
        return self._matrix(names, lambda: pack_joined(self._weights, names))

    def in_turn(self, *names: str) -> PackedMatrix:
        """Matrices of the same shape with their tiles in turn: the first of each, the second of each, and so on."""
        return self._matrix(names, lambda: pack_in_turn(self._weights, *names))

    def finish(self) -> None:
        """Write what was packed by this start; a disk that cannot take it makes the next start slower, no more."""
        if self._path is None or not self._made:
            return
        temporary = self._path.with_name(f"{os.getpid()}.part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                for matrix in self._made:
                    file.write(matrix.data)
                    file.write(bytes(-file.tell() % mmap.PAGESIZE))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
            remove_unused(self._path.parents[1])
        except OSError as error:
            log.warning("The packed form of %s is not kept: %s", self._weights.path, error)
            with contextlib.suppress(OSError):
                temporary.unlink()
        self._made = []

    def _matrix(self, names: "list[str] | tuple[str, ...]", make: Callable[[], PackedMatrix]) -> PackedMatrix:
        spec = self._weights.spec
        shapes = spec.tensor_shapes()
        bits = spec.matrix_bits(names[0])
        assert bits is not None
        if self._kept is not None:
            shape = num_tiles(sum(shapes[name][0] for name in names)), tile_bytes(shapes[names[0]][1], bits)
            size = shape[0] * shape[1]
            if self._position + size <= len(self._kept):
                data = np.frombuffer(self._kept, np.uint8, size, self._position).reshape(shape)
                self._position += -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
                return PackedMatrix(data, bits)
            assert self._path is not None
            self._path.unlink(missing_ok=True)  # cut short: the next start keeps it anew
            self._kept = self._path = None
        matrix = make()
        if self._path is not None:
            self._made.append(matrix.data)
        return matrix


def cache_path(weights: Weights) -> Path:
    """Where the packed matrices of a model are kept."""
    state = weights.path.stat()
    source = hashlib.sha256(Path(packing.__file__).read_bytes()).hexdigest()
    facts = [str(weights.path.resolve()), state.st_size, state.st_mtime_ns, asdict(weights.spec), source]
    name = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
    return cache_home() / "packed" / name / _FILE


def _map(path: Path) -> mmap.mmap | None:
    """The kept file, mapped and being read ahead, or None when there is none."""
    try:
        with path.open("rb") as file:
            kept = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        os.utime(path.parent)
    except (OSError, ValueError):
        return None
    if hasattr(mmap, "MADV_WILLNEED"):
        kept.madvise(mmap.MADV_WILLNEED)
    return kept


def pack_joined(weights: Weights, names: list[str]) -> PackedMatrix:
    """Pack matrices with whole tiles of rows one below the other."""
    shapes = weights.spec.tensor_shapes()
    rows = [shapes[name][0] for name in names]
    bits = weights.spec.matrix_bits(names[0])
    assert bits is not None
    packed = empty_matrix(sum(rows), shapes[names[0]][1], bits)
    tile = 0
    for name, count in zip(names, rows, strict=True):
        last = len(packed) if name == names[-1] else tile + count // TILE
        part = weights.quantised(name)
        pack_rows(part.values, part.scales, bits, packed[tile:last])
        tile = last
    return PackedMatrix(packed, bits)


def pack_in_turn(weights: Weights, *names: str) -> PackedMatrix:
    """Pack matrices of the same shape with their tiles in turn: the first of each, the second of each, and so on."""
    rows, columns = weights.spec.tensor_shapes()[names[0]]
    bits = weights.spec.matrix_bits(names[0])
    assert bits is not None
    packed = empty_matrix(len(names) * rows, columns, bits)
    for index, name in enumerate(names):
        part = weights.quantised(name)
        packed[index :: len(names)] = pack_matrix(part.values, part.scales, bits)
    return PackedMatrix(packed, bits)
