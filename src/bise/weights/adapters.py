"""The adapters on this machine: `home()/adapters/<model>/<name>/`, each for one model and offered as `model:name`.

An adapter is a directory in peft's format (`adapter.py`) with a `manifest.json`. It appears by rename once it is whole
and checked against its model, and counts as there as soon as its manifest is: a server that looks later offers it.
"""

import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bise.config import home
from bise.errors import InputError, NotFoundError
from bise.runs import (
    MANIFEST,
    Input,
    Manifest,
    file_input,
    hash_outputs,
    read_manifest,
    run_input,
    sha256_file,
    write_manifest,
)
from bise.weights.adapter import ADAPTER_FILE, CONFIG_FILE, AdapterSpec, check_tensors, read_config, tensor_name
from bise.weights.files import Weights
from bise.weights.spec import ModelSpec, read_spec
from bise.weights.store import CARD_FILE, check_name, find_model, is_name
from bise.weights.tensor_file import read_safetensors
from bise.weights.tensors import FLOATS

_REFERENCE = re.compile(r"(.+):([^:/\\]*)")


@dataclass(frozen=True)
class StoredAdapter:
    """One adapter in the store, as `bise models` shows it."""

    model: str
    name: str
    path: Path
    size_bytes: int
    spec: AdapterSpec | None  # None when the directory is damaged; `problem` then says how
    problem: str | None = None

    @property
    def reference(self) -> str:
        """What a request names it by."""
        return f"{self.model}:{self.name}"

    def facts(self) -> dict[str, object]:
        """What a program may want to know, ready for JSON."""
        if self.spec is None:
            return {"size_bytes": self.size_bytes, "problem": self.problem}
        return {"size_bytes": self.size_bytes, "rank": self.spec.rank, "targets": list(self.spec.targets)}

    def summary(self) -> str:
        """One line for people."""
        size = f"{self.size_bytes / 1e6:.1f} MB"
        if self.spec is None:
            return f"{size}, damaged: {self.problem}"
        return f"adapter of rank {self.spec.rank} on {', '.join(self.spec.targets)}, {size}"


class AdapterWeights:
    """The matrices of one adapter by canonical names, read on demand; made by `open_adapter`."""

    def __init__(self, spec: AdapterSpec, weights: Weights) -> None:
        self.spec = spec
        self._weights = weights
        self._matrices = frozenset(spec.matrices(weights.spec.num_layers))

    def pair(self, matrix: str) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """A [rank, columns] and B [rows, rank] of a matrix such as "layers.0.attention.wq"; None where it has none.

        Raises:
            InputError: they hold NaN or infinity.
        """
        if matrix not in self._matrices:
            return None
        return self._weights.tensor(tensor_name(matrix, "A")), self._weights.tensor(tensor_name(matrix, "B"))

    def check_numbers(self) -> None:
        """Read everything once.

        Raises:
            InputError: something is NaN or infinite.
        """
        for name in self.spec.tensor_shapes(self._weights.spec):
            self._weights.check_tensor(name)


def open_adapter(directory: Path, model: ModelSpec) -> AdapterWeights:
    """Open an adapter for a model; names, shapes and types are checked, and values when they are read.

    Raises:
        NotFoundError: there is none.
        InputError: it is damaged, no plain LoRA, or made for a model of another shape.
    """
    spec, path = read_config(directory), directory / ADAPTER_FILE
    tensors = read_safetensors(path)
    check_tensors({name: tensor.shape for name, tensor in tensors.items()}, spec, model, path)
    odd = next((name for name, tensor in tensors.items() if tensor.dtype not in FLOATS), None)
    if odd is not None:
        raise InputError(f"{path}: {odd} is stored as {tensors[odd].dtype}, but must be {' or '.join(FLOATS)}.")
    return AdapterWeights(spec, Weights(path, model, tensors))


def adapters_directory(model: str) -> Path:
    """Where the adapters of a model live."""
    return home() / "adapters" / model


def split_reference(text: str) -> tuple[str, str | None]:
    """The model and the adapter of `model:adapter`; None where only a model is named."""
    match = _REFERENCE.fullmatch(text)
    return (match[1], match[2]) if match else (text, None)


def list_adapters(model: str) -> list[StoredAdapter]:
    """Every adapter of a model by name, whether or not the model is here."""
    return [_describe(path) for path in adapter_directories(model)]


def adapter_directories(model: str) -> list[Path]:
    """The directories of a model's adapters, those that are whole."""
    return list(adapter_times(model))


def adapter_times(model: str) -> dict[Path, float]:
    """The directories of a model's adapters by name, and when each was installed, in seconds since 1970."""
    times: dict[Path, float] = {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for path in sorted(adapters_directory(model).iterdir()):
            with suppress(FileNotFoundError, NotADirectoryError):  # not whole, or gone meanwhile
                if is_name(path.name):
                    times[path] = (path / MANIFEST).stat().st_mtime
    return times


def adapter_key(path: Path) -> str | None:
    """A text that stands for the content of an installed adapter; None when it is there no longer."""
    with suppress(FileNotFoundError):
        return f"{path.name}-{sha256_file(path / MANIFEST)}"
    return None


def models_with_adapters() -> list[str]:
    """The names of all models that an adapter is for, whether or not they are here."""
    parent = adapters_directory("model").parent
    names = sorted(path.name for path in parent.iterdir()) if parent.is_dir() else []
    return [name for name in names if adapter_directories(name)]


def find_adapter(model: str, name: str) -> StoredAdapter:
    """Look an adapter up.

    Raises:
        NotFoundError: there is none of that name; the message lists those that exist.
        InputError: the text is no name.
    """
    check_name(model)
    check_name(name, "an adapter's")
    path = adapters_directory(model) / name
    if path not in adapter_times(model):
        raise NotFoundError(f"{model} has no adapter named {name}. {_what_exists(model)}")
    return _describe(path)


def find_model_and_adapter(text: str) -> tuple[Path, str | None]:
    """The directory of a model, and the adapter's name where the text is `model:adapter`.

    Raises:
        NotFoundError: one of them is not there; the message lists what is.
        InputError: the text is no name and no path.
    """
    model, name = split_reference(text)
    directory = find_model(model)
    if name is not None:
        find_adapter(directory.name, name)
    return directory, name


def remove_adapter(model: str, name: str) -> Path:
    """Delete an adapter; returns where it was. A running server stops offering it.

    Raises:
        NotFoundError: there is no such adapter.
    """
    path = find_adapter(model, name).path
    if path.is_symlink():
        path.unlink()
        return path
    hidden = path.with_name(f".{name}.{os.getpid()}.removed")  # it goes at once, not file by file
    path.rename(hidden)
    shutil.rmtree(hidden)
    return path


def install_adapter(source: Path, model: str, name: str) -> StoredAdapter:
    """Take the adapter of a finished tune run, or a directory in peft's format, into the store as `model:name`.

    Raises:
        NotFoundError: there is no such model, nothing at `source`, or its run did not finish.
        InputError: the name is taken or not a name, or the adapter is damaged or does not fit the model.
    """
    check_name(model)
    check_name(name, "an adapter's")
    model_spec = read_spec(find_model(model))
    target = adapters_directory(model) / name
    if target.exists():
        raise InputError(
            f"{model} already has an adapter named {name}. Choose another name, or: bise models remove {model}:{name}"
        )
    temporary = target.with_name(f".{name}.{os.getpid()}.part")
    try:
        _write(source, temporary, model_spec, f"{model}:{name}")
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _describe(target)


def _write(source: Path, target: Path, model: ModelSpec, reference: str) -> None:
    """Write the adapter of a source to a new directory, checked, manifest last."""
    started = time.monotonic()
    directory, parent, facts = _resolve(source)
    spec = open_adapter(directory, model).spec
    target.mkdir(parents=True)
    for file in (CONFIG_FILE, ADAPTER_FILE, CARD_FILE):
        if (directory / file).is_file():
            shutil.copyfile(directory / file, target / file)
    open_adapter(target, model).check_numbers()
    manifest = Manifest(
        stage="adapter",
        name=reference,
        config={"source": source.name},
        inputs=(parent,),
        outputs=hash_outputs(target),
        facts={**facts, "rank": spec.rank, "targets": list(spec.targets), "base": spec.base},
        seconds=round(time.monotonic() - started, 3),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_manifest(target, manifest)


def _resolve(source: Path) -> tuple[Path, Input, dict[str, object]]:
    """The directory in peft's format inside a source, what it was made from, and what its maker says about it."""
    if not source.is_dir():
        raise NotFoundError(f"There is no directory at {source}. Give a finished tune run, or a directory from peft.")
    directory = source if (source / CONFIG_FILE).is_file() else source / "adapter"
    if not (directory / CONFIG_FILE).is_file():
        raise NotFoundError(
            f"There is no adapter in {source}: neither it nor its adapter directory has {CONFIG_FILE}. "
            "A tune run has one when its recipe has a table [adapter]."
        )
    owner = next((path for path in (directory, directory.parent) if _is_maker(path)), None)
    if owner is None:
        return directory, file_input(directory / ADAPTER_FILE), {}
    manifest, weights = read_manifest(owner), directory / ADAPTER_FILE
    for output in manifest.outputs:
        if owner / output.path == weights and weights.is_file() and sha256_file(weights) != output.sha256:
            raise InputError(f"{weights} is not the file that its run wrote: its hash differs. Copy or tune it again.")
    return directory, run_input(owner), dict(manifest.facts)


def _is_maker(path: Path) -> bool:
    return (path / MANIFEST).is_file() and read_manifest(path).stage in ("tune", "adapter")


def _describe(path: Path) -> StoredAdapter:
    size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    spec, problem = None, None
    try:
        spec = read_config(path)
    except (InputError, NotFoundError) as error:
        problem = str(error)
    return StoredAdapter(path.parent.name, path.name, path, size, spec, problem)


def _what_exists(model: str) -> str:
    names = [path.name for path in adapter_directories(model)]
    return f"Its adapters here: {', '.join(names)}." if names else "It has none here: see bise pull --help."
