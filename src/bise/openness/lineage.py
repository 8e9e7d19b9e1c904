"""Walk from a run or a model to everything it was made from, each step checked by hash.

A run names its parents by the hash of their manifests; parents stand in the same runs directory, at `<root>/<stage>/
<name>`. A parent whose manifest no longer has that hash is an error: the record would tell another model's story.

A model in the store carries the manifests of all its ancestors in `lineage.json`, so that its story can be told where the
runs are not. Each of them is worth as much as one on the disk, since its hash is what its child names.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bise.config import home
from bise.errors import InputError, NotFoundError
from bise.runs import MANIFEST, Input, Manifest, parse_manifest, read_manifest, run_input, sha256_file
from bise.weights.adapters import find_adapter, find_model_and_adapter
from bise.weights.store import find_model, models_directory, shipped_directory

RECORD_FILE = "lineage.json"


@dataclass(frozen=True)
class Ancestor:
    """A finished run or a stored model, with its record."""

    directory: Path | None  # None: only its record is here
    manifest: Manifest
    sha256: str  # of its manifest.json
    text: str  # of its manifest.json

    @property
    def name(self) -> str:
        """What its children call it."""
        return f"{self.manifest.stage}/{self.manifest.name}"


@dataclass(frozen=True)
class Lineage:
    """What is known on this machine of what something was made from."""

    links: tuple[Ancestor, ...]  # the thing itself first, then its ancestors, each once, nearest first
    missing: tuple[Input, ...]  # parents whose record is not here

    def stage(self, *stages: str) -> tuple[Ancestor, ...]:
        """The links of some stages, nearest first."""
        return tuple(link for link in self.links if link.manifest.stage in stages)


def ancestors(run: Path) -> tuple[Ancestor, ...]:
    """The run itself first, then its parents, each once, nearest first.

    Raises:
        NotFoundError: a parent is not there, or did not finish.
        InputError: a parent was changed after its child was made.
    """
    found: dict[str, Ancestor] = {}
    for ancestor in _walk(run, expected_sha256=None):
        found.setdefault(ancestor.sha256, ancestor)
    return tuple(found.values())


def _walk(directory: Path, expected_sha256: str | None) -> Iterator[Ancestor]:
    ancestor = _read(directory)
    if expected_sha256 not in (None, ancestor.sha256):
        raise InputError(
            f"{directory} was changed or made again since it was used: its manifest has the hash {ancestor.sha256[:12]}…, "
            f"but {expected_sha256[:12] if expected_sha256 else ''}… was used. Run the later stages again."
        )
    yield ancestor
    root = directory.resolve().parent.parent
    for parent in ancestor.manifest.inputs:
        if parent.kind == "run":
            yield from _walk(root / parent.name, parent.sha256)


def _read(directory: Path) -> Ancestor:
    manifest = read_manifest(directory)
    text = (directory / MANIFEST).read_text(encoding="utf-8")
    return Ancestor(directory, manifest, _hash(text), text)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def lineage_record(directory: Path) -> str:
    """What a model that is taken from a run or model carries along: all manifests that are known, to the byte.

    Raises what `lineage_of` does.
    """
    lineage = lineage_of(directory, directory.resolve().parent.parent)
    return json.dumps({"manifests": [link.text for link in lineage.links]}, indent=1, ensure_ascii=False) + "\n"


def find_owner(text: str) -> Path:
    """The directory of a model or adapter by its name, or of anything with a manifest by its path.

    Raises:
        NotFoundError: there is none.
        InputError: the text is neither a name nor a path.
    """
    path = Path(text).expanduser()
    if (path / MANIFEST).is_file():
        return path
    directory, adapter = find_model_and_adapter(text)
    return directory if adapter is None else find_adapter(directory.name, adapter).path


def lineage_of(directory: Path, runs: Path) -> Lineage:
    """Follow a model, adapter or run as far as records are on this machine.

    Args:
        directory: of the model, adapter or run, or of the `model/` inside a run.
        runs: the runs directory; may be absent.

    Raises:
        NotFoundError: it has no manifest.
        InputError: a manifest or record is damaged.
    """
    owner = directory if (directory / MANIFEST).is_file() else directory.resolve().parent
    if not (owner / MANIFEST).is_file():
        raise NotFoundError(f"{directory} has no {MANIFEST}: nothing is known of where it comes from.")
    own_root = owner.resolve().parent.parent
    records = _Records((runs, own_root, home() / "runs"))
    first = _read(owner)
    records.add(owner)
    links, missing = {first.sha256: first}, {}
    waiting = [*first.manifest.inputs, *_base_of(first)]
    while waiting:
        parent = waiting.pop(0)
        if parent.kind == "file" or parent.sha256 in links:
            continue
        found = records.find(parent)
        if found is None:
            missing[parent.sha256] = parent
        else:
            links[found.sha256] = found
            waiting += found.manifest.inputs
    return Lineage(tuple(links.values()), tuple(missing.values()))


def _base_of(owner: Ancestor) -> list[Input]:
    """The model that an adapter is for, which its own record names only by name."""
    assert owner.directory is not None
    if owner.manifest.stage != "adapter":
        return []
    base = find_model(owner.directory.parent.name)
    return [run_input(base)] if (base / MANIFEST).is_file() else []


class _Records:
    """Manifests by their hash: those beside the runs, and those that models carry."""

    def __init__(self, roots: tuple[Path, ...]) -> None:
        self._roots = roots
        self._carried: dict[str, Ancestor] = {}

    def add(self, model: Path) -> None:
        """Take in what a model carries."""
        path = model / RECORD_FILE
        if not path.is_file():
            return
        try:
            texts = json.loads(path.read_text(encoding="utf-8"))["manifests"]
            for text in texts:
                self._carried[_hash(text)] = Ancestor(None, parse_manifest(text), _hash(text), text)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{path} is damaged: {error!r}. Pull the model again.") from None

    def find(self, parent: Input) -> Ancestor | None:
        """The run or model of that very hash."""
        places = [root / parent.name for root in self._roots]
        if parent.kind == "model":
            name = parent.name.rpartition("/")[2]
            places += [models_directory() / name, shipped_directory(name)]
        for place in places:
            if (place / MANIFEST).is_file() and sha256_file(place / MANIFEST) == parent.sha256:
                self.add(place)
                return _read(place)
        return self._carried.get(parent.sha256)
