"""A model's tensors under canonical names: `open_weights(directory)` for a model of the store.

Formats of other programs make the same `Weights` in `formats/`; what reads one does not know where it came from.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.weights.spec import ModelSpec, Quantisation, joined_matrices, read_spec
from bise.weights.tensor_file import read_safetensors
from bise.weights.tensors import (
    BITS,
    FLOATS,
    GROUP_SIZE,
    PlainTensor,
    QuantisedTensor,
    Rows,
    ScaledTensor,
    Stored,
    dequantise,
    row_parts,
    scales_name,
)

WEIGHTS_FILE = "model.safetensors"
IN_PLACE_FILE = "in_place.json"


class Weights:
    """The tensors of one model under canonical names, read on demand.

    `path` is for people; a tensor is in `stored` for every name in the spec's `tensor_shapes`.
    """

    def __init__(self, path: Path, spec: ModelSpec, stored: Mapping[str, Stored]) -> None:
        self.path = path
        self.spec = spec
        self.stored = stored

    def tensor(self, name: str) -> NDArray[np.float32]:
        """One tensor as float32, in its canonical shape: a view where the file holds float32, else a copy.

        Raises:
            InputError: the tensor holds NaN or infinity, as a damaged file does.
        """
        if self.is_quantised(name):
            return dequantise(self.quantised(name))
        tensor = self.stored[name].floats(slice(None))
        self.require_numbers(name, tensor)
        return tensor

    def rows(self, name: str, rows: Rows) -> NDArray[np.float32]:
        """Some rows of a matrix as float32, [rows, columns]; nothing else is read, and nothing is checked."""
        return self.stored[name].floats(rows)

    def is_quantised(self, name: str) -> bool:
        """Whether the tensor is stored as integers with scales."""
        return self.stored[name].dtype in BITS

    def quantised(self, name: str) -> QuantisedTensor:
        """One quantised tensor: a view of the file with 8 bits, unpacked to one value a byte with 4.

        Raises:
            InputError: a scale is NaN or infinity, or a value beyond its range, as in a damaged file.
        """
        return self.checked_integers(name, slice(None))

    def checked_integers(self, name: str, rows: Rows) -> QuantisedTensor:
        """Some rows of a quantised tensor, checked as `quantised` does."""
        tensor = self.stored[name].integers(rows)
        self.require_numbers(scales_name(name), tensor.scales)
        if tensor.bits == 8 and tensor.values.size and tensor.values.min() == -128:
            raise InputError(f"{name} in {self.path} holds -128, and 8 bits mean -127 to 127. Fetch the model again.")
        return tensor

    def check_tensor(self, name: str) -> None:
        """Read a tensor a part at a time.

        Raises:
            InputError: it holds NaN or infinity, or integers beyond their range.
        """
        for part in row_parts(self.stored[name].shape):
            if self.is_quantised(name):
                self.checked_integers(name, part)
            else:
                self.require_numbers(name, self.rows(name, part))
            self.stored[name].release()

    def require_numbers(self, name: str, values: NDArray[Any]) -> None:
        """Refuse values of a tensor that are NaN or infinite."""
        with np.errstate(over="ignore", invalid="ignore"):
            plain = values.sum()  # one NaN or infinity makes the sum one, and so may large numbers
        if not np.isfinite(plain) and not np.isfinite(values.sum(dtype=np.float64)):
            raise InputError(
                f"The tensor {name} in {self.path} holds values that are not numbers. Pull or train the model again."
            )


def open_weights(directory: Path) -> Weights:
    """Open a model directory; every tensor's name, shape and type is checked against its spec.json.

    Raises:
        InputError: a file is missing or damaged, or a tensor is missing, unknown or of another shape or type.
    """
    spec = read_spec(directory)
    elsewhere = in_place_file(directory)
    if elsewhere is not None:
        from bise.weights.formats.detect import open_foreign  # built on this module

        weights = open_foreign(elsewhere).weights
        if weights.spec != spec:
            raise InputError(
                f"{elsewhere} is no longer the model that {directory} names. Remove that and pull it again."
            )
        return weights
    path = directory / WEIGHTS_FILE
    tensors = read_safetensors(path)
    if spec.least_tensors > len(tensors):  # before a table of that many layers is made
        raise InputError(f"spec.json asks for {spec.num_layers} layers, but {path} holds {len(tensors)} tensors.")
    check_tensors(path, tensors, expected_tensors(spec, path))
    stored: dict[str, Stored] = {}
    for name in spec.tensor_shapes():
        tensor = tensors[name]
        stored[name] = ScaledTensor(tensor, tensors[scales_name(name)]) if tensor.dtype in BITS else tensor
    return Weights(path, spec, stored)


def write_in_place(directory: Path, path: Path) -> None:
    """Note that a model's weights are another program's file."""
    state = path.stat()
    table = {"path": str(path.resolve()), "size_bytes": state.st_size, "modified_ns": state.st_mtime_ns}
    (directory / IN_PLACE_FILE).write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def in_place_file(directory: Path) -> Path | None:
    """The file that holds a model's weights, when it is another program's; None for weights of our own.

    Raises:
        InputError: that file is gone or was changed.
    """
    try:
        table = json.loads((directory / IN_PLACE_FILE).read_text(encoding="utf-8"))
        path, expected = Path(table["path"]), (table["size_bytes"], table["modified_ns"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{directory / IN_PLACE_FILE} is damaged. Remove the model and pull it again.") from None
    try:
        state = path.stat()
    except OSError as error:
        raise InputError(f"The weights at {path} are gone: {error.strerror}. Pull the model again.") from None
    if (state.st_size, state.st_mtime_ns) != expected:
        raise InputError(f"The weights at {path} were changed since. Remove {directory.name} and pull it again.")
    return path


def expected_tensors(spec: ModelSpec, path: Path) -> dict[str, tuple[tuple[int, ...], tuple[str, ...]]]:
    """Shape and allowed types of every tensor in the file of such a model: vectors stay float, matrices may not."""
    if spec.quantisation is None:
        return {name: (shape, FLOATS) for name, shape in spec.tensor_shapes().items()}
    check_quantisation(spec, spec.quantisation, str(path.with_name("spec.json")))
    expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {}
    for name, shape in spec.tensor_shapes().items():
        bits = spec.matrix_bits(name)
        if len(shape) == 1 or bits is None:
            expected[name] = (shape, FLOATS)
            continue
        rows, columns = shape
        expected[name] = ((rows, columns), ("I8",)) if bits == 8 else ((rows, columns // 2), ("U8",))
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
    matrices = spec.matrix_shapes()
    for name, (_, columns) in matrices.items():
        if columns % size:
            raise InputError(
                f"{where}: {name} has {columns} columns, which is not a multiple of the quantisation's group size "
                f"{size}. Keep such a model in 16 bits."
            )
    unknown = [name for name in quantisation.eight_bits if name not in matrices]
    split = [names for names in joined_matrices(spec) if len({spec.matrix_bits(name) for name in names}) > 1]
    if unknown or split:
        raise InputError(
            f"{where}: eight_bits names {', '.join(unknown or split[0])}, but must name matrices of the model, and of "
            "those that read the same input all or none."
        )


def check_tensors(
    path: Path, entries: Mapping[str, PlainTensor], expected: dict[str, tuple[tuple[int, ...], tuple[str, ...]]]
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


def _some(names: Iterable[str]) -> str:
    first, *rest = names
    return f"{first} and {len(rest)} more tensors" if rest else f"the tensor {first}"
