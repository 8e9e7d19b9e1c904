"""The command line stays small, its reference fresh, and the runtime light."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from bise.cli.main import main
from bise.cli.reference import commands, reference, root_context
from bise.config import load_recipe
from bise.corpus.recipe import CurateRecipe
from bise.tokenizer.training import TokenizerRecipe
from bise.train.recipe import TrainRecipe
from bise.tune.recipe import TuneRecipe

ROOT = Path(__file__).parents[2]
MAX_OPTIONS = 8
RECIPES = {"curate": CurateRecipe, "tokenizer": TokenizerRecipe, "train": TrainRecipe, "tune": TuneRecipe}


def test_no_command_has_more_options_than_a_person_remembers() -> None:
    options = {
        path: sum(isinstance(parameter, click.Option) for parameter in command.params)
        for path, command, _ in commands(main, root_context())
    }
    assert not {path: number for path, number in options.items() if number > MAX_OPTIONS}


def test_the_command_reference_is_fresh() -> None:
    written = (ROOT / "docs/commands.md").read_text(encoding="utf-8")
    assert written == reference(), "type: make reference"


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("recipes/*/*.toml")), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_every_recipe_is_valid(path: Path) -> None:
    if path.parent.name != "tables":
        load_recipe(path, RECIPES[path.stem])


@pytest.mark.parametrize("module", ["bise.cli.main", "bise.app.start", "bise.server.local", "bise.engine.worker"])
def test_the_runtime_loads_neither_torch_nor_arrow(module: str) -> None:
    code = f"import sys, {module}; print([n for n in ('torch', 'pyarrow', 'transformers') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
