"""The models on this machine: `home()/models/<name>/`, and the demonstration model inside the package.

A model is a directory with `spec.json`, `model.safetensors`, `tekken.json`, `card.md` and `manifest.json`. It enters
the store by rename once it is whole, and its manifest names the run it came from by hash.
"""

import os
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

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
from bise.weights.files import WEIGHTS_FILE, open_weights
from bise.weights.quantise import Progress, quantise_directory
from bise.weights.spec import SPEC_FILE, ModelSpec, read_spec

DEFAULT_MODEL = "bise-demo"
TOKENIZER_FILE = "tekken.json"
CARD_FILE = "card.md"
_SHIPPED = Path(__file__).parent / "shipped"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_COPIED = (SPEC_FILE, WEIGHTS_FILE, TOKENIZER_FILE, CARD_FILE)


@dataclass(frozen=True)
class StoredModel:
    """One model in the store, as `bise models` shows it."""

    name: str
    path: Path
    shipped: bool  # part of the package: it cannot be removed
    size_bytes: int
    spec: ModelSpec | None  # None when the directory is damaged; `problem` then says how
    problem: str | None = None

    def facts(self) -> dict[str, object]:
        """What a program may want to know, ready for JSON."""
        if self.spec is None:
            return {"size_bytes": self.size_bytes, "problem": self.problem}
        quantisation = self.spec.quantisation
        return {
            "size_bytes": self.size_bytes,
            "parameters": self.spec.num_parameters(),
            "context_length": self.spec.context_length,
            "bits": quantisation.bits if quantisation else None,
        }

    def summary(self) -> str:
        """One line for people."""
        size = f"{self.size_bytes / 1e6:.1f} MB"
        if self.spec is None:
            return f"{size}, damaged: {self.problem}"
        precision = f"{self.spec.quantisation.bits}-bit weights" if self.spec.quantisation else "float weights"
        shipped = ", part of the package" if self.shipped else ""
        return (
            f"{self.spec.num_parameters() / 1e6:.1f} M parameters, {precision}, {size}, "
            f"context {self.spec.context_length} tokens{shipped}"
        )


def models_directory() -> Path:
    """Where pulled models live."""
    return home() / "models"


def shipped_directory(name: str = DEFAULT_MODEL) -> Path:
    """Where a model that ships inside the package lives."""
    return _SHIPPED / name


def list_models() -> list[StoredModel]:
    """Every model on this machine by name: those of the package first, then those of the store."""
    return [describe(path) for path in _model_directories()]


def describe(path: Path) -> StoredModel:
    """Describe one model directory without reading its weights."""
    size = sum(p.stat().st_size for p in path.iterdir() if p.is_file())
    spec, problem = None, None
    try:
        spec = read_spec(path)
    except InputError as error:
        problem = str(error)
    return StoredModel(path.name, path, path.parent == _SHIPPED, size, spec, problem)


def find_model(name_or_path: str) -> Path:
    """The directory of a model, by its name in the store or by a path that holds one.

    Raises:
        NotFoundError: there is no such model; the message lists those that exist.
        InputError: the text is neither a model's name nor a path.
    """
    if _looks_like_path(name_or_path):
        path = Path(name_or_path).expanduser()
        if not (path / SPEC_FILE).is_file():
            raise NotFoundError(f"There is no model at {path}: it has no {SPEC_FILE}. {_what_exists()}")
        return path
    check_name(name_or_path)
    for path in _model_directories():
        if path.name == name_or_path:
            return path
    if name_or_path == DEFAULT_MODEL:
        raise NotFoundError(
            f"This copy of Bise was built without its demonstration model ({shipped_directory()} is missing). "
            f"Install a released package, or train one and name it. {_what_exists()}"
        )
    raise NotFoundError(f"There is no model named {name_or_path}. {_what_exists()}")


def read_card(path: Path) -> str:
    """The Markdown of a model's card, or nothing when it has none."""
    card = path / CARD_FILE
    return card.read_text(encoding="utf-8") if card.is_file() else ""


def remove_model(name: str) -> Path:
    """Delete a pulled model; returns where it was.

    Raises:
        NotFoundError: there is no such model.
        InputError: it is part of the package.
    """
    check_name(name)
    path = find_model(name)
    if path.parent == _SHIPPED:
        raise InputError(f"{name} is part of the installed package and cannot be removed from the store.")
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
    return path


def pull(
    source: Path, name: str, bits: int | None = None, card: str | None = None, progress: Progress | None = None
) -> Path:
    """Take a finished train or tune run, or a model directory, into the store as `name`; returns its directory.

    `bits` 4, 8 or 16 changes the weights' precision; None keeps it. `card` is Markdown that replaces the source's card.

    Raises:
        NotFoundError: there is nothing at `source`, or its run did not finish.
        InputError: the model is damaged, the name is taken or not a name, or the precision cannot be had.
    """
    check_name(name)
    if shipped_directory(name).exists():
        raise InputError(f"{name} is the name of a model in the package. Choose another with --name.")
    target = models_directory() / name
    if target.exists():
        raise InputError(f"There already is a model named {name}. Choose another name, or: bise models remove {name}")
    models_directory().mkdir(parents=True, exist_ok=True)
    temporary = models_directory() / f".{name}.{os.getpid()}.part"
    try:
        install(source, temporary, name, bits, card, progress)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def install(
    source: Path, target: Path, name: str, bits: int | None, card: str | None, progress: Progress | None = None
) -> None:
    """Write the model of a run, or a model directory, to the new directory `target`, checked, manifest last."""
    started = time.monotonic()
    directory, parent, facts = _resolve(source)
    weights = open_weights(directory)
    if bits is None:
        for tensor in weights.spec.tensor_shapes():
            weights.check_tensor(tensor)
    if not (directory / TOKENIZER_FILE).is_file():
        raise InputError(f"{directory} has no {TOKENIZER_FILE}, so nobody could talk to it. Add the tokenizer's file.")
    target.mkdir(parents=True)
    if bits is None:
        for file in _COPIED:
            if (directory / file).is_file():
                shutil.copyfile(directory / file, target / file)
    else:
        quantise_directory(directory, target, bits, progress)
    if card is not None:
        (target / CARD_FILE).write_text(card, encoding="utf-8")
    spec = read_spec(target)
    own_facts = {"parameters": spec.num_parameters(), "context_length": spec.context_length}
    manifest = Manifest(
        stage="model",
        name=name,
        config={"source": directory.name if directory.name != "model" else directory.parent.name, "bits": bits},
        inputs=(parent,),
        outputs=hash_outputs(target),
        facts={**facts, **own_facts},
        seconds=round(time.monotonic() - started, 3),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_manifest(target, manifest)


def is_name(text: str) -> bool:
    """Whether a text can be the name of a model or adapter."""
    return _NAME.fullmatch(text) is not None and ".." not in text


def check_name(name: str, whose: str = "a model's") -> None:
    """Refuse what is not a model's name, so that a name never becomes a path elsewhere."""
    if not is_name(name):
        raise InputError(
            f"{name!r} is not {whose} name. Use up to 64 letters, digits, '.', '_' and '-', beginning with a letter "
            "or digit."
        )


def _resolve(source: Path) -> tuple[Path, Input, dict[str, object]]:
    """The model directory inside a source, what it was made from, and what its maker says about it."""
    if not source.is_dir():
        raise NotFoundError(f"There is no directory at {source}. Give a finished train or tune run, or a model.")
    if (source / SPEC_FILE).is_file():
        owner = next((d for d in (source, source.parent) if (d / MANIFEST).is_file()), None)
        if owner is None:
            return source, file_input(source / WEIGHTS_FILE), {}
        directory = source
    else:
        owner, directory = source, source / "model"
    manifest = read_manifest(owner)
    if manifest.stage not in ("train", "tune", "model"):
        raise InputError(f"{owner} is a {manifest.stage} run. Models come from train and tune runs.")
    _check_hash(owner, directory, manifest)
    return directory, run_input(owner), dict(manifest.facts)


def _check_hash(owner: Path, directory: Path, manifest: Manifest) -> None:
    weights = directory / WEIGHTS_FILE
    for output in manifest.outputs:
        if owner / output.path == weights and weights.is_file() and sha256_file(weights) != output.sha256:
            raise InputError(f"{weights} is not the file that its run wrote: its hash differs. Copy or train it again.")


def _model_directories() -> Iterator[Path]:
    for parent in (_SHIPPED, models_directory()):
        if parent.is_dir():
            yield from sorted(p for p in parent.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))


def _looks_like_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.startswith(("~", "."))


def _what_exists() -> str:
    names = [path.name for path in _model_directories()]
    return f"Models here: {', '.join(names)}." if names else "There is no model here yet: see bise pull --help."
