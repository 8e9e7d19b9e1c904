"""Weights in another precision: int8 or int4 in groups of 32 along the input with one float16 scale a group, or bfloat16.

Vectors (the norms) stay float: they are few, and errors in them touch every output. Work goes by parts of a matrix, so
memory stays far below the model's size, parts are rounded on every core, and what was interrupted goes on where it was.
"""

import hashlib
import math
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.hardware import usable_cores
from bise.weights.files import WEIGHTS_FILE, Weights, check_quantisation, open_weights
from bise.weights.int4 import pack_int4, pack_nibbles, round_to_int4
from bise.weights.int8 import round_to_int8
from bise.weights.spec import ModelSpec, Quantisation, write_spec
from bise.weights.tensor_file import Layout, finished_tensors, write_parts
from bise.weights.tensors import BITS, GROUP_SIZE, Floats, QuantisedTensor, narrow, row_parts, scales_name

Progress = Callable[[int, int], None]  # (weights done, weights in all)

PRECISIONS = ("4", "mixed", "8", "16")  # "mixed": 4 bits, and the output head keeps 8 as embeddings do
_COMPANIONS = ("tekken.json", "card.md")
_STEP_WEIGHTS = 1 << 18  # a megabyte of float32


@dataclass(frozen=True)
class Scales:
    """How the scales of four-bit groups are chosen."""

    are_searched: bool = True  # else the largest weight becomes -8, as in llama.cpp's Q4_0: quicker, and less exact
    # By matrix, the second moments of what meets each group of its columns, [columns / 32, 32, 32]: see `int4`.
    moments: Mapping[str, Floats] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """In a word."""
        return "plain" if not self.are_searched else "calibrated" if self.moments else "searched"

    def identity(self) -> str:
        """The same for the same scales."""
        digest = hashlib.sha256(str(self.are_searched).encode())
        for name, moments in sorted(self.moments.items()):
            digest.update(name.encode() + moments.tobytes())
        return digest.hexdigest()


SEARCHED = Scales()


@dataclass
class RoundingError:
    """What rounding did to one matrix: sums of squares."""

    of_differences: float = 0.0
    of_weights: float = 0.0

    def add(self, of_differences: float, of_weights: float) -> None:
        """Count some more rows."""
        self.of_differences += of_differences
        self.of_weights += of_weights

    @property
    def relative(self) -> float:
        """Root mean square of the differences over that of the weights."""
        return math.sqrt(self.of_differences / self.of_weights) if self.of_weights else 0.0


def quantise_directory(source: Path, target: Path, bits: int = 8, progress: Progress | None = None) -> None:
    """Write the model in `source` to the new directory `target` with integers of 4 or 8 bits, or bfloat16 (16).

    Raises:
        InputError: the source is damaged or already quantised, or its shape does not fit the groups.
    """
    weights = open_weights(source)
    if str(bits) not in PRECISIONS:
        raise InputError(f"Weights can have 4, 8 or 16 bits, not {bits}.")
    convert(weights, target, str(bits), progress)
    for name in _COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def convert(
    weights: Weights,
    target: Path,
    precision: str | None = None,
    progress: Progress | None = None,
    scales: Scales = SEARCHED,
) -> dict[str, RoundingError]:
    """Write a model's spec and weights to the directory `target`; goes on with what an interrupted call left there.

    Args:
        weights: the source, whatever its format; every value is checked.
        target: made when it is not there.
        precision: one of PRECISIONS; None keeps the source's.
        progress: told of the weights done.
        scales: of four-bit groups; the same where an interrupted call is to go on.

    Returns:
        The error of each matrix that this call rounded to integers.

    Raises:
        InputError: the source is damaged or already quantised, or its shape does not fit the groups.
    """
    spec = replace(weights.spec, quantisation=chosen_quantisation(weights, precision))
    target.mkdir(parents=True, exist_ok=True)
    write_spec(target, spec)
    layout = _layout(weights, spec, precision)
    names = list(layout)
    first = finished_tensors(target / WEIGHTS_FILE, layout)
    if first < len(names) and names[first].endswith(".scales"):  # scales are made together with their integers
        first -= 1
    errors: dict[str, RoundingError] = {}
    write_parts(target / WEIGHTS_FILE, layout, _convert(weights, layout, scales, first, errors, progress), first)
    return errors


def rounding_error(exact: Weights, rounded: Weights, name: str) -> RoundingError:
    """What rounding did to one matrix, from the two models."""
    error = RoundingError()
    for rows in row_parts(exact.stored[name].shape):
        floats = exact.rows(name, rows)
        differences = rounded.rows(name, rows) - floats
        error.add(float(np.vdot(differences, differences)), float(np.vdot(floats, floats)))
        for weights in (exact, rounded):
            weights.stored[name].release()
    return error


def chosen_quantisation(weights: Weights, precision: str | None) -> Quantisation | None:
    """What a precision means for a model.

    Raises:
        InputError: the weights are integers already, or do not fit the groups.
    """
    present = weights.spec.quantisation
    if precision is None:
        return present
    assert precision in PRECISIONS, precision
    if present is not None:
        raise InputError(
            f"{weights.path} already has {present.bits}-bit weights. Start from the model it was made from, or take it "
            "as it is."
        )
    if precision == "16":
        return None
    eight_bits = ("output.weight",) if precision == "mixed" and not weights.spec.tied_embeddings else ()
    quantisation = Quantisation(4 if precision == "mixed" else int(precision), GROUP_SIZE, eight_bits)
    check_quantisation(replace(weights.spec, quantisation=quantisation), quantisation, str(weights.path))
    return quantisation


def quantise(weight: NDArray[np.float32], bits: int = 8, moments: Floats | None = None) -> QuantisedTensor:
    """Round a matrix [rows, columns] to integers with one float16 scale for each group of 32 along the columns.

    With 4 bits, `moments` are the second moments of what meets each group, [columns / 32, 32, 32].

    Raises:
        InputError: a weight is too large for a float16 scale.
    """
    rows, columns = weight.shape
    groups = weight.reshape(-1, GROUP_SIZE)
    values, scales = round_to_int4(groups, moments) if bits == 4 else round_to_int8(groups)
    return QuantisedTensor(values.reshape(rows, columns), scales.reshape(rows, columns // GROUP_SIZE), bits)


def _layout(weights: Weights, spec: ModelSpec, precision: str | None) -> Layout:
    """The tensors of the new file: integers as the spec says, floats as they are, or bfloat16 when that was asked for."""
    layout: dict[str, tuple[str, tuple[int, ...]]] = {}
    for name, shape in spec.tensor_shapes().items():
        bits = spec.matrix_bits(name) if len(shape) == 2 else None
        if bits is None:
            layout[name] = ("BF16" if precision == "16" else weights.stored[name].dtype, shape)
            continue
        rows, columns = shape
        layout[name] = ("I8", shape) if bits == 8 else ("U8", (rows, columns // 2))
        layout[scales_name(name)] = ("F16", (rows, columns // GROUP_SIZE))
    return layout


def _convert(
    weights: Weights,
    layout: Layout,
    scales: Scales,
    first: int,
    errors: dict[str, RoundingError],
    progress: Progress | None,
) -> Iterator[NDArray[Any]]:
    """The bytes of the new file in its order from tensor `first` on: a matrix's integers, then its scales."""
    total, skipped = weights.spec.num_parameters(), set(islice(layout, first))
    done = 0
    with ThreadPoolExecutor(usable_cores()) as threads:
        for name, shape in weights.spec.tensor_shapes().items():
            if name in skipped:
                done += math.prod(shape)
                continue
            work = partial(_convert_part, weights, name, layout[name][0], scales)
            last = []
            for part, converted in zip(row_parts(shape), _in_order(threads, work, row_parts(shape)), strict=True):
                yield converted.values
                last.append(converted.scales)
                if converted.error is not None:
                    errors.setdefault(name, RoundingError()).add(*converted.error)
                done += len(range(*part.indices(shape[0]))) * math.prod(shape[1:])
                if progress is not None:
                    progress(done, total)
                weights.stored[name].release()  # what other threads still read comes back from the system's cache
            yield from last


def _in_order(
    threads: ThreadPoolExecutor, work: Callable[[slice], "_Part"], parts: Iterable[slice]
) -> Iterator["_Part"]:
    """Results in the order of the parts, a few of them at work at once: `map` would hold those of a whole matrix."""
    waiting: deque[Future[_Part]] = deque()
    for part in parts:
        waiting.append(threads.submit(work, part))
        if len(waiting) > 2 * usable_cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


@dataclass(frozen=True)
class _Part:
    """Some rows as they are stored."""

    values: NDArray[Any]
    scales: NDArray[np.float16]  # empty for floats
    error: tuple[float, float] | None = None  # sums of squares: of differences, of weights


def _convert_part(weights: Weights, name: str, dtype: str, scales: Scales, rows: slice) -> _Part:
    if weights.is_quantised(name):
        return _pack(weights.checked_integers(name, rows))
    moments = scales.moments.get(name)
    if dtype == "U8" and moments is None:
        return _to_int4(weights, name, scales, rows)
    exact = weights.rows(name, rows)
    weights.require_numbers(name, exact)
    if dtype not in BITS:
        return _Part(narrow(exact, dtype), np.empty(0, np.float16))
    rounded = quantise(exact, BITS[dtype], moments)
    return _pack(rounded, _sums_of_squares(exact, rounded))


def _to_int4(weights: Weights, name: str, scales: Scales, rows: slice) -> _Part:
    """Round some rows in steps that stay in a core's own cache from the file to the stored form."""
    num_rows, columns = rows.stop - rows.start, weights.stored[name].shape[1]
    packed = np.empty((num_rows, columns // GROUP_SIZE, GROUP_SIZE // 2), np.uint8)
    chosen = np.empty((num_rows, columns // GROUP_SIZE), np.float16)
    sums, step = np.zeros(2), max(1, _STEP_WEIGHTS // columns)
    for start in range(0, num_rows, step):
        end = min(start + step, num_rows)
        exact = np.ascontiguousarray(weights.rows(name, slice(rows.start + start, rows.start + end)))
        out = packed[start:end].reshape(-1, GROUP_SIZE // 2), chosen[start:end].reshape(-1)
        try:
            found = pack_int4(exact.reshape(-1, GROUP_SIZE), scales.are_searched, *out)
        except InputError:
            weights.require_numbers(name, exact)  # what is none is not too large
            raise
        if not np.isfinite(found).all():
            weights.require_numbers(name, exact)
        sums += found
    return _Part(packed.reshape(num_rows, -1), chosen, (float(sums[0]), float(sums[1])))


def _sums_of_squares(exact: NDArray[np.float32], rounded: QuantisedTensor) -> tuple[float, float]:
    from bise.weights.rounding import sums_of_squares  # see int4.round_to_int4

    groups, sums = np.ascontiguousarray(exact).reshape(-1, GROUP_SIZE), np.empty(2)
    values = np.ascontiguousarray(rounded.values).reshape(-1, GROUP_SIZE)
    sums_of_squares(groups, values, rounded.scales.astype(np.float32).reshape(-1), sums)
    return float(sums[0]), float(sums[1])


def _pack(tensor: QuantisedTensor, error: tuple[float, float] | None = None) -> _Part:
    return _Part(pack_nibbles(tensor.values) if tensor.bits == 4 else tensor.values, tensor.scales, error)
