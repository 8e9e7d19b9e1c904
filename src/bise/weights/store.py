"""The models on this machine: `home()/models/<name>/`, and the demonstration model inside the package.

A model is a directory with `spec.json`, `model.safetensors`, a tokenizer's files, `card.md` and `manifest.json`; a model
that is used where another program keeps it has `in_place.json` instead of weights. `pull.py` brings models here.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bise.config import home
from bise.errors import InputError, NotFoundError
from bise.runs import MANIFEST, Manifest, read_manifest
from bise.weights.files import in_place_file
from bise.weights.spec import SPEC_FILE, ModelSpec, read_spec

DEFAULT_MODEL = "bise-demo"
CARD_FILE = "card.md"
_SHIPPED = Path(__file__).parent / "shipped"
_FLOAT_BITS = {"F32": 32, "F16": 16, "BF16": 16}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class StoredModel:
    """One model in the store, as `bise models` shows it."""

    name: str
    path: Path
    shipped: bool  # part of the package: it cannot be removed
    size_bytes: int
    spec: ModelSpec | None  # None when the directory is damaged; `problem` then says how
    problem: str | None = None
    licence: str = ""  # of the model itself; empty: not stated
    text_licences: tuple[str, ...] = ()  # of what it was trained on
    parents: tuple[str, ...] = ()  # what it was made from
    in_place: Path | None = None  # where its weights are, when another program keeps them
    bits: int | None = None  # of most weights; None for floats of a size that the manifest does not tell

    def facts(self) -> dict[str, object]:
        """What a program may want to know, ready for JSON."""
        if self.spec is None:
            return {"size_bytes": self.size_bytes, "problem": self.problem}
        return {
            "size_bytes": self.size_bytes,
            "parameters": self.spec.num_parameters(),
            "context_length": self.spec.context_length,
            "bits": self.bits,
            "licence": self.licence,
            "text_licences": list(self.text_licences),
            "parents": list(self.parents),
            "in_place": str(self.in_place) if self.in_place else None,
        }

    @property
    def any_licence(self) -> str:
        """The model's licence; where it has none, those of its texts; else empty."""
        texts = "of its texts: " + ", ".join(self.text_licences) if self.text_licences else ""
        return self.licence or texts

    def summary(self) -> str:
        """One line for people."""
        size = f"{self.size_bytes / 1e6:.1f} MB"
        if self.spec is None:
            return f"{size}, damaged: {self.problem}"
        kind = "weights" if self.spec.quantisation else "float weights"
        precision = f"{self.bits}-bit {kind}" if self.bits else kind
        parts = [
            f"{self.spec.num_parameters() / 1e6:,.1f} M parameters",
            precision,
            size,
            f"context {self.spec.context_length} tokens",
            f"licence {self.any_licence}" if self.any_licence else "licence not stated",
            f"from {', '.join(self.parents)}" if self.parents else "",
            f"weights at {self.in_place}" if self.in_place else "",
            "part of the package" if self.shipped else "",
        ]
        return ", ".join(part for part in parts if part)


def models_directory() -> Path:
    """Where pulled models live."""
    return home() / "models"


def downloads_directory() -> Path:
    """Where fetched files wait to be taken in."""
    return home() / "downloads"


def shipped_directory(name: str = DEFAULT_MODEL) -> Path:
    """Where a model that ships inside the package lives."""
    return _SHIPPED / name


def list_models() -> list[StoredModel]:
    """Every model on this machine by name: those of the package first, then those of the store."""
    return [describe(path) for path in _model_directories()]


def describe(path: Path) -> StoredModel:
    """Describe one model directory without reading its weights."""
    size = sum(p.stat().st_size for p in path.iterdir() if p.is_file())
    spec, problem, float_bits = None, None, None
    licence, in_place = "", None
    text_licences: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    try:
        spec = read_spec(path)
        in_place = in_place_file(path)
        if (path / MANIFEST).is_file():
            manifest = read_manifest(path)
            licence, text_licences = str(manifest.facts.get("licence") or ""), _text_licences(manifest)
            parents = _parents(manifest)
            float_bits = _FLOAT_BITS.get(str(manifest.facts.get("float_type")))
    except InputError as error:
        problem = str(error)
    if in_place is not None:
        size += in_place.stat().st_size
    bits = spec.quantisation.bits if spec and spec.quantisation else float_bits
    is_shipped = path.parent == _SHIPPED
    return StoredModel(
        path.name, path, is_shipped, size, spec, problem, licence, text_licences, parents, in_place, bits
    )


def _parents(manifest: Manifest) -> tuple[str, ...]:
    """What a model was made from: the names of runs and models, and of a stranger's files the address."""
    origin = manifest.facts.get("origin")
    return tuple(
        origin if parent.kind == "file" and isinstance(origin, str) else parent.name for parent in manifest.inputs
    )


def _text_licences(manifest: Manifest) -> tuple[str, ...]:
    sources = manifest.facts.get("sources")
    if not isinstance(sources, dict):
        return ()
    found = {str(source.get("licence") or "") for source in sources.values() if isinstance(source, dict)}
    return tuple(sorted(found - {""}))


def part_directory(name: str) -> Path:
    """Where a model is made before it gets its name."""
    return models_directory() / f".{name}.part"


def unfinished() -> list[str]:
    """Names whose pull was stopped: the same command goes on, `bise models remove` forgets it."""
    if not models_directory().is_dir():
        return []
    parts = (path.name for path in models_directory().iterdir() if path.name.endswith(".part"))
    return sorted(name.removeprefix(".").removesuffix(".part") for name in parts)


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


def check_removable(name: str) -> Path:
    """Where a pulled model is, or what a stopped pull of it left.

    Raises:
        NotFoundError: there is no such model.
        InputError: it is part of the package.
    """
    check_name(name)
    path = part_directory(name) if name in unfinished() else find_model(name)
    if path.parent == _SHIPPED:
        raise InputError(f"{name} is part of the installed package and cannot be removed from the store.")
    return path


def remove_model(name: str) -> Path:
    """Delete a pulled model; returns where it was. Raises what `check_removable` does."""
    path = check_removable(name)
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)
    return path


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


def _model_directories() -> Iterator[Path]:
    for parent in (_SHIPPED, models_directory()):
        if parent.is_dir():
            yield from sorted(p for p in parent.iterdir() if p.is_dir() and _NAME.fullmatch(p.name))


def _looks_like_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.startswith(("~", "."))


def _what_exists() -> str:
    names = [path.name for path in _model_directories()]
    return f"Models here: {', '.join(names)}." if names else "There is no model here yet: see bise pull --help."
