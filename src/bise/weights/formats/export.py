"""A model of ours as other programs read it: `export_model(weights, directory, "hf" | "mistral" | "gguf")`.

Floats keep their type unless another is asked for. Integers stay what they are in GGUF, as Q4_0 and Q8_0; the other formats
hold floats, so integers become bfloat16 there. Rows are written a part at a time.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import InputError
from bise.gguf import Value, write_gguf
from bise.weights.files import Weights
from bise.weights.formats import gguf, hugging_face, mistral
from bise.weights.formats.blocks import write_exact
from bise.weights.tensor_file import Layout, tensor_sizes, write_parts
from bise.weights.tensors import BITS, Reordered, Stored, halves_to_pairs, narrow, row_parts

Progress = Callable[[int, int], None]  # (rows done, rows in all)
FORMATS = ("hf", "mistral", "gguf")
FLOAT_TYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
_TORCH_NAMES = {stored: name for name, stored in FLOAT_TYPES.items()}
_SHARD_BYTES = 5 << 30


@dataclass(frozen=True)
class Companions:
    """What goes along with the weights."""

    name: str
    files: tuple[Path, ...] = ()  # copied beside them; not for GGUF
    texts: Mapping[str, str] = field(default_factory=dict)  # written beside them: name -> text; not for GGUF
    metadata: Mapping[str, Value] = field(default_factory=dict)  # for GGUF: its vocabulary, its licence


def export_model(
    weights: Weights,
    directory: Path,
    to: str,
    companions: Companions,
    dtype: str | None = None,
    progress: Progress | None = None,
    shard_bytes: int = _SHARD_BYTES,
) -> list[Path]:
    """Write a model in another format to the new directory, which is absent or whole; returns its files.

    Args:
        weights: the model, from any place.
        directory: must not be there yet.
        to: one of FORMATS.
        companions: the model's name and what goes along.
        dtype: of FLOAT_TYPES, what floats are written as.
        progress: told of rows done.
        shard_bytes: of Hugging Face's files.

    Raises:
        InputError: the directory is there, a value is no number, or does not fit the type.
    """
    assert to in FORMATS, to
    source = _Source(weights, to, dtype, progress)
    with _absent_or_whole(directory) as temporary:
        if to == "gguf":
            _write_gguf(source, temporary / f"{companions.name}.gguf", companions)
        elif to == "mistral":
            layout = {name: (source.dtype(name), shape) for name, shape in weights.spec.tensor_shapes().items()}
            _write_json(temporary / mistral.PARAMS, mistral.make_params(weights.spec))
            write_parts(temporary / mistral.WEIGHTS, layout, source.parts(layout))
        else:
            _write_hugging_face(source, temporary, shard_bytes)
        if to != "gguf":
            for file in companions.files:
                shutil.copyfile(file, temporary / file.name)
            for name, text in companions.texts.items():
                (temporary / name).write_text(text, encoding="utf-8")
    return sorted(directory.iterdir())


class _Source:
    """The tensors in the order and type of the new file."""

    def __init__(self, weights: Weights, to: str, dtype: str | None, progress: Progress | None) -> None:
        self.weights = weights
        self.spec = weights.spec
        self._matrices = self.spec.matrix_shapes()
        self._keeps_integers = to == "gguf"
        self.interleaves = to == "mistral"
        self._float_type = FLOAT_TYPES[dtype] if dtype else None
        self._progress = progress
        self._done, self._total = 0, sum(shape[0] for shape in self.spec.tensor_shapes().values())

    def dtype(self, name: str) -> str:
        """What a tensor is written as: a key of tensors.DTYPES."""
        stored = self.weights.stored[name].dtype
        if stored in BITS:
            return stored if self._keeps_integers else self._float_type or "BF16"
        if self._keeps_integers and name not in self._matrices:
            return "F32"  # llama.cpp wants vectors and routers so
        return self._float_type or stored

    def parts(self, names: Layout | list[str]) -> Iterator[NDArray[Any]]:
        """The bytes of tensors, part after part."""
        for name in names:
            tensor, dtype = self._ordered(name), self.dtype(name)
            for rows in row_parts(tensor.shape):
                yield self._part(name, tensor, dtype, rows)
                self._done += rows.stop - rows.start
                if self._progress is not None:
                    self._progress(self._done, self._total)
            tensor.release()

    def _ordered(self, name: str) -> Stored:
        tensor, heads = self.weights.stored[name], mistral.rotated_heads(self.spec, name)
        return Reordered(tensor, halves_to_pairs(heads, self.spec.head_dim)) if heads and self.interleaves else tensor

    def _part(self, name: str, tensor: Stored, dtype: str, rows: slice) -> NDArray[Any]:
        if dtype in BITS:
            return write_exact(tensor.integers(rows))
        exact = tensor.floats(rows)
        self.weights.require_numbers(name, exact)
        written = narrow(exact, dtype)
        if dtype == "F16" and not np.isfinite(written).all():
            raise InputError(
                f"{name} holds {np.abs(exact).max():g}, too large for float16. Export with --dtype bfloat16."
            )
        return written


def _write_gguf(source: _Source, path: Path, companions: Companions) -> None:
    kinds = {"I8": "Q8_0", "U8": "Q4_0"}
    spec = source.spec
    shapes = spec.tensor_shapes()
    joined: dict[str, list[str]] = {}  # theirs -> ours
    for name in shapes:
        joined.setdefault(gguf.joined_name(name), []).append(name)
    most = source.dtype("layers.0.attention.wq.weight")
    metadata = gguf.make_metadata(spec, companions.name, most) | dict(companions.metadata)
    source.interleaves = gguf.is_interleaved(str(metadata["general.architecture"]))
    tensors = {}
    for theirs, (name, *others) in joined.items():
        dtype = source.dtype(name)
        experts = (1 + len(others),) if theirs != gguf.gguf_name(name) else ()
        tensors[theirs] = (kinds.get(dtype, dtype), (*experts, *shapes[name]))
    parts, factors = source.parts(list(chain(*joined.values()))), gguf.rope_factors(spec)
    if factors is not None:
        tensors[gguf.ROPE_FACTORS] = ("F32", factors.shape)
        parts = chain(parts, [factors])
    write_gguf(path, metadata, tensors, parts)


def _write_hugging_face(source: _Source, directory: Path, shard_bytes: int) -> None:
    spec = source.spec
    floats = source.dtype("layers.0.attention.wq.weight")
    _write_json(directory / hugging_face.CONFIG, hugging_face.make_config(spec, _TORCH_NAMES[floats]))
    layout = {name: (source.dtype(name), shape) for name, shape in spec.tensor_shapes().items()}
    shards = _divide(layout, shard_bytes)
    weight_map: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        file = hugging_face.WEIGHTS if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        theirs = {hugging_face.hugging_face_name(name): layout[name] for name in names}
        write_parts(directory / file, theirs, source.parts(names))
        weight_map |= dict.fromkeys(theirs, file)
    if len(shards) > 1:
        total = sum(tensor_sizes(layout))
        _write_json(directory / hugging_face.INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _divide(layout: Layout, shard_bytes: int) -> list[list[str]]:
    """Names in order, in shards of at most so many bytes, or of one larger tensor."""
    shards: list[list[str]] = [[]]
    left = shard_bytes
    for name, size in zip(layout, tensor_sizes(layout), strict=True):
        if size > left and shards[-1]:
            shards.append([])
            left = shard_bytes
        shards[-1].append(name)
        left -= size
    return shards


@contextmanager
def _absent_or_whole(directory: Path) -> Iterator[Path]:
    """A directory beside the new one, which becomes it when the block ends well."""
    if directory.exists():
        raise InputError(f"{directory} is there already. Name a directory that is not, or delete it.")
    temporary = directory.with_name(directory.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        temporary.rename(directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_json(path: Path, table: Mapping[str, object]) -> None:
    path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
