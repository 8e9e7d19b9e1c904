"""Small raw sources, written fresh for each test."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bise.corpus.recipe import CurateRecipe, Source, SourceFile, Sources
from bise.corpus.rules import Rules

PROSE = (
    "The bakery at the corner opens before the sun is up. Its owner lights the oven, weighs the flour and hums. "
    "By seven the first children come for rolls, and by eight nothing but crumbs is left on the shelves. "
    "Story number {number} was told there, and people laughed about it for the rest of the week."
)


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    """Write records (objects, or raw bytes for lines that are not JSON) to a file below `raw`."""

    def write(name: str, records: Iterable[object]) -> Path:
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [record if isinstance(record, bytes) else json.dumps(record).encode() for record in records]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        return path

    return write


def records(source: str, count: int, lang: str = "en") -> list[dict[str, str]]:
    return [
        {"id": f"{source}/{i}", "text": PROSE.format(number=f"{source} {i}"), "lang": lang, "source": source}
        for i in range(count)
    ]


@pytest.fixture
def make_records() -> Callable[..., list[dict[str, str]]]:
    """Documents that pass every rule, each with a text of its own."""
    return records


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[..., CurateRecipe]:
    """A recipe over files below `raw`, one source a file."""

    def make(*files: str, name: str = "test", max_bytes: int | None = None, **rules: object) -> CurateRecipe:
        sources = tuple(
            Source(file.split(".", maxsplit=1)[0], "CC0 1.0", (SourceFile(file),), max_bytes=max_bytes)
            for file in files
        )
        return CurateRecipe(
            name=name,
            sources=Sources(sources, root=tmp_path / "raw", max_bad_lines=0.5),
            rules=Rules(**rules),  # type: ignore[arg-type]
            root=tmp_path / "runs",
        )

    return make
