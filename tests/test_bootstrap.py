"""Before anything is installed, a machine that lacks something is told what to type, in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrap import complaint

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("version", "has_venv", "system", "is_root", "words"),
    [
        ((3, 9), True, "apt", False, ["3.11 or newer", "3.9", "sudo apt install python3.11 python3.11-venv"]),
        ((3, 9), True, "brew", False, ["3.11 or newer", "brew install"]),
        ((3, 9), True, "", False, ["3.11 or newer", "python.org"]),
        ((3, 12), False, "apt", False, ["venv", "sudo apt install python3.12-venv"]),
        ((3, 12), False, "apt", True, ["Type: apt install python3.12-venv"]),
    ],
)
def test_what_is_missing_comes_with_its_command(
    version: tuple[int, int], has_venv: bool, system: str, is_root: bool, words: list[str]
) -> None:
    sentence = complaint(version, has_venv, system, is_root)
    assert all(word in sentence for word in words), sentence


def test_a_python_that_can_do_it_gets_no_complaint() -> None:
    assert complaint((3, 11), True, "apt", False) is None


def test_a_python_without_venv_stops_with_a_sentence(tmp_path: Path) -> None:
    """A Python whose standard library has no ensurepip, as Debian's without python3-venv."""
    fake = tmp_path / "python3"
    fake.write_text(f'#!/bin/sh\nif [ "$1" = -c ]; then echo 3 11 0; else exec {sys.executable} "$@"; fi\n')
    fake.chmod(0o755)
    script = (
        f"import sys, runpy; sys.executable = {str(fake)!r}; sys.argv = ['bootstrap.py', {str(tmp_path / 'venv')!r}]"
    )
    command = [sys.executable, "-c", f"{script}; runpy.run_path('bootstrap.py', run_name='__main__')"]
    done = subprocess.run(
        command, check=False, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C"}
    )
    assert done.returncode == 1
    assert "not its venv module" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "venv").exists()
