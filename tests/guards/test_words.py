"""What the documents say is what the code does: commands, variables, versions."""

import ast
import re
import tomllib
from pathlib import Path

import bise

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_what_lands_is_tested_by_the_command_of_the_readme() -> None:
    commands = re.findall(r"^(make test)\b.*$", README, re.MULTILINE)
    assert commands, "README.md must name the test command"
    assert (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()[-1] == commands[0]


def test_there_is_one_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["version"] == bise.__version__


def test_every_environment_variable_is_in_the_guide() -> None:
    source = ast.parse((ROOT / "src/bise/config.py").read_text(encoding="utf-8"))
    constants = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant)}
    variables = {value for value in constants if isinstance(value, str) and re.fullmatch(r"[A-Z][A-Z_]{3,}", value)}
    assert "BISE_HOME" in variables
    guide = (ROOT / "docs/getting-started.md").read_text(encoding="utf-8")
    assert not {name for name in variables if f"`{name}`" not in guide}


def test_every_file_that_the_documents_link_to_exists() -> None:
    links = [
        (page, target)
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    assert not [f"{page.relative_to(ROOT)}: {target}" for page, target in links if not (page.parent / target).exists()]


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set()
    for page in PAGES:
        named |= set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets
