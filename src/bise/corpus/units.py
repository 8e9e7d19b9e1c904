"""Work units: the slices of the sources that are curated one by one, the same ones whatever the number of workers.

A unit is one file of a source, or several small ones together, or some row groups of a large Parquet file. Its key is a hash of all that its result depends on:
the files' bytes, the recipe's steps, the files that the steps read, and the code. So a result kept under the key by an
interrupted run can be used again, and one made under another recipe cannot.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bise.corpus.hub import fetch_source
from bise.corpus.readers import find_files, split_file
from bise.corpus.recipe import CurateRecipe, Source
from bise.errors import InputError, NotFoundError
from bise.runs import Input, sha256_file

_UNIT_BYTES = 4 << 20  # stored bytes that small files are gathered to


@dataclass(frozen=True)
class UnitFile:
    """One file of a unit, or a part of one."""

    path: Path
    name: str  # below sources.root, "/" between parts
    size_bytes: int  # as stored
    sha256: str  # of the whole file
    part: tuple[int, int] | None = None  # row groups, from the first to before the second


@dataclass(frozen=True)
class Unit:
    """A slice of one source."""

    index: int  # in reading order
    source: Source
    files: tuple[UnitFile, ...]
    key: str = ""

    @property
    def size_bytes(self) -> int:
        """Stored bytes of the files: how much work it is, compared with other units."""
        return sum(file.size_bytes for file in self.files)

    def __str__(self) -> str:
        more = f" and {len(self.files) - 1:,} more" if len(self.files) > 1 else ""
        return f"{self.files[0].name}{more}"


def plan_units(recipe: CurateRecipe) -> list[Unit]:
    """Every unit of a recipe in reading order, its files found and verified.

    Raises:
        NotFoundError: a file is absent.
        InputError: a file has another hash than the recipe says.
        UnavailableError: a data set could not be fetched.
    """
    read_by_steps = [(entry.name, entry.sha256) for entry in step_inputs(recipe)]
    base = [code_sha256(), recipe.document_steps(), read_by_steps]
    units: list[Unit] = []
    for source in (fetch_source(source, recipe.sources.root) for source in recipe.sources.list):
        for files in _gather(_verified(source, recipe.sources.root)):
            key = [*base, asdict(source), [(file.name, file.sha256, file.part) for file in files]]
            units.append(Unit(len(units), source, files, hash_of(key)))
    return units


def find_named(recipe: CurateRecipe, key: str, name: str) -> list[Path]:
    """The files that a key of the recipe names, all of a directory's among them.

    Raises:
        NotFoundError: there are none.
    """
    root = recipe.sources.root
    matches = [
        entry for path in sorted(root.glob(name)) for entry in (sorted(path.rglob("*")) if path.is_dir() else [path])
    ]
    if not (files := [path for path in matches if path.is_file()]):
        raise NotFoundError(f"{key} names {name}, but there is no file at {root / name}.")
    return files


def step_files(recipe: CurateRecipe) -> list[Path]:
    """The files that the steps read, such as evaluation data.

    Raises:
        NotFoundError: one is absent.
    """
    named = [("contamination.files", name) for name in recipe.contamination.files]
    named += [("lists.sites", name) for name in recipe.lists.sites]
    named += [(f"lists.words.{lang}", name) for lang, name in recipe.lists.words.items()]
    named += [("quality.model", name) for name in [recipe.quality.model] if name]
    return [path for key, name in named for path in find_named(recipe, key, name)]


def step_inputs(recipe: CurateRecipe) -> list[Input]:
    """These files, as a manifest names them."""
    root = recipe.sources.root
    return [Input("file", path.relative_to(root).as_posix(), sha256_file(path)) for path in step_files(recipe)]


def unit_inputs(units: Iterable[Unit]) -> list[Input]:
    """The files of all units, as a manifest names them."""
    return list(dict.fromkeys(Input("file", file.name, file.sha256) for unit in units for file in unit.files))


def hash_of(value: Any) -> str:
    """Hash plain values: what JSON can hold, and paths."""
    plain = json.dumps(value, sort_keys=True, ensure_ascii=False, default=lambda path: Path(path).as_posix())
    return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def code_sha256() -> str:
    """Hash of this room's code: other code may come to other results."""
    room = Path(__file__).parent
    return hash_of([(path.relative_to(room).as_posix(), sha256_file(path)) for path in sorted(room.rglob("*.py"))])


def _verified(source: Source, root: Path) -> list[UnitFile]:
    files = []
    for path, file in find_files(source, root):
        actual = sha256_file(path)
        if file.sha256 and actual != file.sha256:
            raise InputError(
                f"{path} has sha256 {actual}, but the recipe expects {file.sha256}. "
                "Fetch the version that the recipe names, or correct the recipe if the change is meant."
            )
        parts = split_file(path, source)
        size = path.stat().st_size // len(parts)
        for part in parts:
            bounds = None if part is None else (part.start, part.stop)
            files.append(UnitFile(path, path.relative_to(root).as_posix(), size, actual, bounds))
    return files


def _gather(files: Sequence[UnitFile]) -> Iterable[tuple[UnitFile, ...]]:
    """Put small files together, in order."""
    gathered: list[UnitFile] = []
    for file in files:
        if gathered and sum(other.size_bytes for other in gathered) + file.size_bytes > _UNIT_BYTES:
            yield tuple(gathered)
            gathered = []
        gathered.append(file)
    if gathered:
        yield tuple(gathered)
