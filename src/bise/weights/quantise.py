"""Smaller weights: symmetric int8 in groups of 32 along the input with one float16 scale a group, or plain bfloat16.

A scale is rounded up to float16, so the largest weight of a group never needs more than 127 steps and every weight is
off by at most half a step. Vectors (the norms) stay float: they are few, and errors in them touch every output.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.weights.files import WEIGHTS_FILE, QuantisedTensor, Weights, check_quantisation, open_weights, scales_name
from bise.weights.spec import Quantisation, write_spec

GROUP_SIZE = 32
_LARGEST = 127  # -128 is left out, so that the range is symmetric
_COMPANIONS = ("tekken.json", "card.md")


def quantise_directory(source: Path, target: Path, bits: int = 8) -> None:
    """Write the model in `source` to the new directory `target` with weights of 8 (int8) or 16 bits (bfloat16).

    Raises:
        InputError: the source is damaged or already quantised, or its shape does not fit the groups.
    """
    weights = open_weights(source)
    if bits not in (8, 16):
        raise InputError(f"Weights can have 8 or 16 bits, not {bits}.")
    if weights.spec.quantisation is not None:
        raise InputError(
            f"{source} already has {weights.spec.quantisation.bits}-bit weights. Start from the model it was made from."
        )
    quantisation = Quantisation(8, GROUP_SIZE) if bits == 8 else None
    if quantisation is not None:
        check_quantisation(weights.spec, quantisation, str(source))
    target.mkdir(parents=True, exist_ok=True)
    write_spec(target, replace(weights.spec, quantisation=quantisation))
    write_tensors(target / WEIGHTS_FILE, _int8_tensors(weights) if bits == 8 else _bfloat16_tensors(weights))
    for name in _COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def quantise(weight: NDArray[np.float32], group_size: int = GROUP_SIZE) -> QuantisedTensor:
    """Round a matrix [rows, columns] to int8 with one float16 scale for each group along the columns."""
    rows, columns = weight.shape
    groups = weight.reshape(rows, columns // group_size, group_size)
    exact = np.abs(groups).max(axis=2).astype(np.float64) / _LARGEST  # in float32 a subnormal would vanish
    if exact.size and exact.max() > np.finfo(np.float16).max:
        raise InputError(f"A weight of {np.abs(groups).max():g} is too large for 8 bits. Keep the model in 16 bits.")
    scales = exact.astype(np.float16)
    scales = np.where(scales < exact, np.nextafter(scales, np.float16(np.inf)), scales)
    steps = np.where(scales == 0, 1, scales).astype(np.float32)  # a group of zeros has scale 0
    values = np.rint(groups / steps[:, :, None]).astype(np.int8)
    return QuantisedTensor(values.reshape(rows, columns), scales)


def write_tensors(path: Path, tensors: dict[str, tuple[str, NDArray[Any]]]) -> None:
    """Write name -> (safetensors type, array) as a safetensors file, absent or whole.

    The safetensors library cannot write bfloat16 from NumPy; the format is a JSON header and the bytes in order.
    """
    header: dict[str, object] = {"__metadata__": {"format": "bise"}}
    position = 0
    for name, (dtype, array) in tensors.items():
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (position, position + array.nbytes)}
        position += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # so that the data begins at a multiple of 8 bytes
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in tensors.values():
            file.write(np.ascontiguousarray(array).data)
    temporary.replace(path)


def _int8_tensors(weights: Weights) -> dict[str, tuple[str, NDArray[Any]]]:
    tensors: dict[str, tuple[str, NDArray[Any]]] = {}
    for name, shape in weights.spec.tensor_shapes().items():
        if len(shape) == 1:
            tensors[name] = ("F32", weights.tensor(name))
            continue
        quantised = quantise(weights.tensor(name))
        tensors[name] = ("I8", quantised.values)
        tensors[scales_name(name)] = ("F16", quantised.scales)
    return tensors


def _bfloat16_tensors(weights: Weights) -> dict[str, tuple[str, NDArray[Any]]]:
    return {name: ("BF16", to_bfloat16(weights.tensor(name))) for name in weights.spec.tensor_shapes()}


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper half of each float32, rounded to nearest, ties to even."""
    bits = np.ascontiguousarray(values).view(np.uint32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
