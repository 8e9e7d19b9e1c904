"""Small raw sources, written fresh for each test."""

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from bise.corpus.recipe import CurateRecipe, Source, SourceFile, Sources
from bise.corpus.rules import Rules

WHO = [
    "baker",
    "miller",
    "sailor",
    "teacher",
    "farmer",
    "doctor",
    "painter",
    "neighbour",
    "child",
    "gardener",
    "driver",
    "singer",
    "poet",
    "judge",
    "cook",
]
DID = [
    "carried",
    "followed",
    "painted",
    "forgot",
    "remembered",
    "sold",
    "mended",
    "washed",
    "counted",
    "praised",
    "hid",
    "borrowed",
    "weighed",
    "drew",
]
WHAT = [
    "bread",
    "boat",
    "letter",
    "window",
    "garden",
    "bicycle",
    "lantern",
    "piano",
    "basket",
    "mirror",
    "ladder",
    "kettle",
    "map",
    "button",
    "carpet",
]


def prose(name: str) -> str:
    """A text of some sixty words that passes every rule and shares few word sequences with those of other names."""
    draw = random.Random(name)
    who, did, what = (draw.sample(words, 8) for words in (WHO, DID, WHAT))
    sentences = [
        f"The {who[i]} {did[i]} the {what[i]} of that {who[i + 4]} and {did[i + 4]} {draw.randrange(1000)} {what[i + 4]}s."
        for i in range(4)
    ]
    return " ".join(["The bakery opens before the sun is up.", *sentences, f"Story {name} was told there."])


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
        {"id": f"{source}/{i}", "text": prose(f"{source} {i}"), "lang": lang, "source": source} for i in range(count)
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
