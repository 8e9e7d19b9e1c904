"""`bise curate --index` and `bise trace`: from a recipe to the passage that a text repeats."""

import json
from pathlib import Path

import pytest

from bise.cli.main import run
from tests.cli.test_curate import TEXT, recipe

__all__ = ["recipe"]


def test_a_text_is_found_in_an_indexed_corpus(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # a finished run is indexed, not made again
        with pytest.raises(SystemExit, match="0"):
            run(["curate", recipe, "--index"])
    corpus = str(tmp_path / "runs/curate/stories")
    capsys.readouterr()
    with pytest.raises(SystemExit, match="0"):
        run(["trace", corpus, f"They say: {TEXT[:90]}", "--json", "--min-bits", "0"])
    told = json.loads(capsys.readouterr().out)
    assert told["spans"][0]["places"][0]["source"] == "stories"
    assert told["spans"][0]["places"][0]["licence"] == "CC0 1.0"
    assert told["share"] > 0.8
    with pytest.raises(SystemExit, match="0"):
        run(["trace", corpus, TEXT, "--min-bits", "0"])
    assert "100% of 45 words" in capsys.readouterr().out
    questions = tmp_path / "questions.jsonl"
    questions.write_text(json.dumps({"text": TEXT}) + '\n{"text": "Hello"}\n', encoding="utf-8")
    with pytest.raises(SystemExit, match="0"):
        run(["trace", corpus, "--file", str(questions), "--min-bits", "0"])
    assert capsys.readouterr().out.startswith("1 of 2 records")


def test_a_corpus_that_is_not_here_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(["trace", "bise-demo", "Hello", "--runs", "nowhere"])
    assert "corpus" in capsys.readouterr().err
