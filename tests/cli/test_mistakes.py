"""Whatever a person gets wrong: one sentence on stderr, exit code 2, and never a traceback."""

from pathlib import Path

import pytest

from tests.command import bise


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["curate", "missing.toml"], "There is no recipe at missing.toml"),
        (["curate", "recipes/tiny/curate.toml", "--set", "rules.min_word=1"], "unknown key min_word"),
        (["curate", "recipes/european/curate.toml", "--set", "sources.root=missing"], "missing"),
        (["tokenizer", "train", "recipes/tiny/tokenizer.toml", "--set", "corpus=missing"], "no run at missing"),
        (["train", "recipes/tiny/train.toml", "--set", "tokens=many"], "tokens"),
        (["train", "recipes/tiny/train.toml", "--set", "corpus=missing"], "no run at missing"),
        (["tune", "recipes/tiny/tune.toml", "--set", "base=missing"], "no run at missing"),
        (["pull", "missing", "--name", "x"], "missing"),
        (["serve", "--model", "missing"], "no model named missing"),
        (["serve", "--port", "99999"], "99999 is not a port"),
        (["ask", "-m", "missing", "Hello"], "no model named missing"),
        (["ask", ""], "empty"),
        (["ask", "--draft", "missing", "Hello"], "no model named missing"),
        (["nonsense"], "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_one_sentence_and_exit_code_2(arguments: list[str], words: str, tmp_path: Path) -> None:
    if arguments[0] in ("curate", "tokenizer", "train", "tune"):
        arguments = [*arguments, "--set", f"root={tmp_path}"]
    done = bise(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_a_place_that_cannot_hold_a_run_is_a_sentence() -> None:
    done = bise("curate", "recipes/tiny/curate.toml", "--set", "root=README.md")
    assert done.returncode == 2
    assert "README.md" in done.stderr
    assert "Traceback" not in done.stderr
