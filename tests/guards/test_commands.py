"""The command line stays small, its reference fresh, and the runtime light."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest

from bise.cli.doctor import EXTRAS
from bise.cli.main import main
from bise.cli.reference import commands, reference, root_context
from bise.config import load_recipe
from bise.corpus.recipe import CurateRecipe
from bise.tokenizer.training import TokenizerRecipe
from bise.train.recipe import TrainRecipe
from bise.tune.recipe import TuneRecipe

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
RUNTIME_ROOMS = ("server", "app", "engine", "weights", "tokenizer", "store", "openness")
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


def test_every_command_that_the_documents_show_is_one() -> None:
    """Commands and options as click reads them, without running them; recipes must be there."""
    shown = [
        shlex.split(line, comments=True) for page in PAGES for line in shell_lines(page) if line.startswith("bise")
    ]
    assert len(shown) > 20
    for _, *words in shown:
        read_command(words)
        assert all((ROOT / word).exists() for word in words if word.startswith("recipes/")), words


def shell_lines(page: Path) -> list[str]:
    """The lines of a document's code blocks."""
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def read_command(words: list[str]) -> None:
    """Raise click's error when a command line names no command, or an option that it does not have."""
    command, context = main, click.Context(main, info_name="bise")
    while isinstance(command, click.Group) and words:
        found = command.get_command(context, words[0])
        assert found is not None, f"there is no command {context.command_path} {words[0]}"
        command, context, words = found, click.Context(found, info_name=words[0], parent=context), words[1:]
    if words or not isinstance(command, click.Group):
        command.parse_args(context, list(words))


def runtime_modules() -> list[str]:
    """Every module of the runtime's rooms but the scripts that Alembic runs by path, and of its commands."""
    source = ROOT / "src"
    paths = [path for room in RUNTIME_ROOMS for path in sorted((source / "bise" / room).rglob("*.py"))]
    names = [
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if "migrations" not in path.parts
    ]
    return names + [f"bise.cli.{command}" for command in ("main", "serve", "ask", "admin", "models", "pull", "doctor")]


def loaded(code: str, watched: set[str]) -> set[str]:
    """Which of the watched modules a fresh Python holds after running some code."""
    code = f"import importlib, sys\n{code}\nprint(*(set({sorted(watched)!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_runtime_loads_neither_torch_nor_arrow() -> None:
    code = f"for name in {runtime_modules()!r}: importlib.import_module(name)"
    assert not loaded(code, {"torch", "pyarrow", "transformers", "bise.model", "bise.train", "bise.tune"})


def test_help_waits_for_nothing_heavy() -> None:
    code = "from bise.cli.main import main\nmain(['--help'], standalone_mode=False)"
    assert not loaded(code, {"torch", "numba", "fastapi", "sqlalchemy", "mistral_common"})


def test_doctor_looks_for_every_package_of_an_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = {extra: project["optional-dependencies"][extra] for extra in EXTRAS}
    names = {extra: sorted(re.split("[<>=]", package)[0] for package in packages) for extra, packages in wanted.items()}
    assert {extra: sorted(modules) for extra, modules in EXTRAS.items()} == names
