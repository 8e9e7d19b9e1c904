"""Recipes are strict: what is unknown, missing or of the wrong type is named before any work starts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from bise.config import load_recipe
from bise.errors import InputError


@dataclass(frozen=True)
class Source:
    path: Path
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    name: str
    steps: int = 10
    mode: Literal["fast", "exact"] = "exact"
    limit: int | None = None
    sources: tuple[Source, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    source: Source = field(default_factory=lambda: Source(Path("x")))

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}, but must be at least 1.")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_values_and_overrides_arrive_with_their_types(tmp_path: Path) -> None:
    path = write(tmp_path, 'name = "a"\n[[sources]]\npath = "b.jsonl"\nweight = 2\n')
    recipe = load_recipe(path, Recipe, ["steps=5", "source.path=c d", "mode=fast", "limit=3"])
    assert recipe == Recipe("a", 5, "fast", 3, (Source(Path("b.jsonl"), 2.0),), source=Source(Path("c d")))


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        ("name = 'a'\nstep = 1", [], ["unknown key step", "steps"]),
        ("steps = 1", [], ["missing key name"]),
        ("name = 'a'\nsteps = 'x'", [], ["steps", "'x'", "whole number"]),
        ("name = 'a'\nsteps = true", [], ["steps", "True", "whole number"]),
        ("name = 'a'\nmode = 'slow'", [], ["'slow'", "'fast'"]),
        ("name = 'a'\nsources = [1]", [], ["sources[0]", "a table"]),
        ("name = 'a'\nsteps = 0", [], ["steps is 0"]),
        ("name = ", [], ["not valid TOML"]),
        ("name = 'a'", ["steps"], ["no '='"]),
        ("name = 'a'", ["name.x=1"], ["name is a value"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, overrides: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as error:
        load_recipe(write(tmp_path, text), Recipe, overrides)
    for word in words:
        assert word in str(error.value)


def test_a_missing_recipe_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no recipe at"):
        load_recipe(tmp_path / "none.toml", Recipe)
