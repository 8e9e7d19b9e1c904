"""Smaller weights: symmetric int8 or int4 in groups of 32 along the input with one float16 scale a group, or bfloat16.

With 8 bits a scale is rounded up to float16, so the largest weight of a group never needs more than 127 steps and every
weight is off by at most half a step. With 4 bits the scale is searched (`int4.py`). Vectors (the norms) stay float:
they are few, and errors in them touch every output. Work goes by parts of a matrix, so memory stays far below the
model's size, and parts are rounded on every core.
"""

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.weights.files import (
    BITS,
    DTYPES,
    GROUP_SIZE,
    WEIGHTS_FILE,
    QuantisedTensor,
    Weights,
    check_quantisation,
    expected_tensors,
    open_weights,
    row_parts,
)
from bise.weights.int4 import pack_nibbles, round_to_int4
from bise.weights.spec import Quantisation, write_spec

Progress = Callable[[int, int], None]  # (weights done, weights in all)

_LARGEST = 127  # -128 is left out, so that the range is symmetric
_COMPANIONS = ("tekken.json", "card.md")


def quantise_directory(source: Path, target: Path, bits: int = 8, progress: Progress | None = None) -> None:
    """Write the model in `source` to the new directory `target` with integers of 4 or 8 bits, or bfloat16 (16).

    Raises:
        InputError: the source is damaged or already quantised, or its shape does not fit the groups.
    """
    weights = open_weights(source)
    if bits not in (4, 8, 16):
        raise InputError(f"Weights can have 4, 8 or 16 bits, not {bits}.")
    if weights.spec.quantisation is not None:
        raise InputError(
            f"{source} already has {weights.spec.quantisation.bits}-bit weights. Start from the model it was made from."
        )
    quantisation = Quantisation(bits, GROUP_SIZE) if bits < 16 else None
    if quantisation is not None:
        check_quantisation(weights.spec, quantisation, str(source))
    target.mkdir(parents=True, exist_ok=True)
    spec = replace(weights.spec, quantisation=quantisation)
    write_spec(target, spec)
    stored = {name: (types[0], shape) for name, (shape, types) in expected_tensors(spec, target / WEIGHTS_FILE).items()}
    if bits == 16:
        stored = {name: ("BF16", shape) for name, (_, shape) in stored.items()}
    write_parts(target / WEIGHTS_FILE, stored, _convert(weights, stored, progress))
    for name in _COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def quantise(weight: NDArray[np.float32], bits: int = 8) -> QuantisedTensor:
    """Round a matrix [rows, columns] to integers with one float16 scale for each group of 32 along the columns.

    Raises:
        InputError: a weight is too large for a float16 scale.
    """
    rows, columns = weight.shape
    groups = weight.reshape(-1, GROUP_SIZE)
    values, scales = round_to_int4(groups) if bits == 4 else _round_to_int8(groups)
    return QuantisedTensor(values.reshape(rows, columns), scales.reshape(rows, columns // GROUP_SIZE), bits)


def write_tensors(path: Path, tensors: dict[str, tuple[str, NDArray[Any]]]) -> None:
    """Write name -> (safetensors type, array) as a safetensors file, absent or whole."""
    stored = {name: (dtype, array.shape) for name, (dtype, array) in tensors.items()}
    write_parts(path, stored, (array for _, array in tensors.values()))


def write_parts(path: Path, stored: Mapping[str, tuple[str, tuple[int, ...]]], parts: Iterable[NDArray[Any]]) -> None:
    """Write tensors, name -> (safetensors type, shape), from parts that are their bytes in this order.

    The safetensors library cannot write bfloat16 from NumPy; the format is a JSON header and the bytes in order.
    """
    header: dict[str, object] = {"__metadata__": {"format": "bise"}}
    position = 0
    for name, (dtype, shape) in stored.items():
        end = position + math.prod(shape) * DTYPES[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": (position, end)}
        position = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data begins at a multiple of 8 bytes
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        written = sum(file.write(np.ascontiguousarray(part).data.cast("B")) for part in parts if part.size)
    assert written == position, f"{written} bytes of {position}"
    temporary.replace(path)


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def _round_to_int8(groups: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    exact = np.abs(groups).max(axis=1).astype(np.float64) / _LARGEST  # in float32 a subnormal would vanish
    if exact.size and exact.max() > np.finfo(np.float16).max:
        raise InputError(f"A weight of {np.abs(groups).max():g} is too large for 8 bits. Keep the model in 16 bits.")
    scales = exact.astype(np.float16)
    scales = np.where(scales < exact, np.nextafter(scales, np.float16(np.inf)), scales)
    steps = np.where(scales == 0, 1, scales).astype(np.float32)  # a group of zeros has scale 0
    return np.rint(groups / steps[:, None]).astype(np.int8), scales


def _convert(
    weights: Weights, stored: Mapping[str, tuple[str, tuple[int, ...]]], progress: Progress | None
) -> Iterator[NDArray[Any]]:
    """The bytes of the new file in its order: a matrix's integers, then its scales."""
    done, total = 0, weights.spec.num_parameters()
    with ThreadPoolExecutor() as threads:
        for name, shape in weights.spec.tensor_shapes().items():
            convert = partial(_convert_part, weights, name, stored[name][0])
            scales = []
            for part, (values, part_scales) in zip(
                row_parts(shape), threads.map(convert, row_parts(shape)), strict=True
            ):
                yield values
                scales.append(part_scales)
                done += len(range(*part.indices(shape[0]))) * math.prod(shape[1:])
                if progress is not None:
                    progress(done, total)
            yield from scales


def _convert_part(weights: Weights, name: str, dtype: str, rows: slice) -> tuple[NDArray[Any], NDArray[np.float16]]:
    """Some rows of a tensor as they are stored, and their scales, of which floats have none."""
    exact = weights.rows(name, rows)
    weights.require_numbers(name, exact)
    if dtype == "BF16":
        return to_bfloat16(exact), np.empty(0, np.float16)
    if dtype == "F32":
        return exact, np.empty(0, np.float16)
    quantised = quantise(exact, BITS[dtype])
    return pack_nibbles(quantised.values) if dtype == "U8" else quantised.values, quantised.scales
