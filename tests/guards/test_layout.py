"""The shape of the repository: small files, a sign on every door, no trace of anybody's machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = sorted((ROOT / "src/bise").glob("*/__init__.py"))
MAX_LINES = 500
MAX_TREE_BYTES = 45 << 20
SOURCES = {".py", ".ts", ".tsx", ".css", ".js", ".mjs", ".sh"}
MACHINE_PATH = re.compile(
    r"(?<![\w.])/(?:work|home/[a-z]|Users/[A-Za-z]|root/)|/tmp/bise|/opt/(?:wheels|pypi)|file:///"
)


def tracked() -> list[Path]:
    """Every file that git knows, and those that it does not ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def test_no_source_file_is_longer_than_a_reader_can_hold() -> None:
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in tracked()
        if path.suffix in SOURCES and (lines := len(path.read_text(encoding="utf-8").splitlines())) > MAX_LINES
    }
    assert not long


def test_the_tree_stays_light_to_clone() -> None:
    assert sum(path.stat().st_size for path in tracked()) < MAX_TREE_BYTES


def test_no_file_names_somebodys_machine() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__) or b"\0" in (content := path.read_bytes())[:4096]:
            continue
        lines = content.decode("utf-8", errors="replace").splitlines()
        found += [
            f"{path.relative_to(ROOT)}:{n}: {line[:120]}"
            for n, line in enumerate(lines, 1)
            if MACHINE_PATH.search(line)
        ]
    assert not found


@pytest.mark.parametrize("sign", ROOMS, ids=lambda path: path.parent.name)
def test_every_room_has_a_sign_and_no_logic_on_it(sign: Path) -> None:
    module = ast.parse(sign.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(module) or ""
    assert len(module.body) == 1, "the sign holds a docstring and nothing else"
    assert "Read first" in docstring or docstring.startswith("Room 8"), "the sign says which file to read first"


def test_every_file_named_on_a_sign_exists() -> None:
    missing = []
    for sign in ROOMS:
        for sentence in re.findall(r"Read first: (.*?)\.(?:\s|$)", sign.read_text(encoding="utf-8"), re.DOTALL):
            names = re.findall(r"`([a-z_]+\.py)`", sentence)
            missing += [f"{sign.parent.name}/{name}" for name in names if not (sign.parent / name).exists()]
    assert not missing


def test_nothing_runs_what_it_reads() -> None:
    """Pickle and its kin, torch.load, eval and exec run code from data; no file of ours may call them."""
    modules = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    calls = {"eval", "exec", "torch.load", "torch.save"}
    found = []
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
            if isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            if names & modules or (isinstance(node, ast.Call) and ast.unparse(node.func) in calls):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not found
