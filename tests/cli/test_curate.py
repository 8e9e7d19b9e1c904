"""`bise curate` prints facts on stdout, words on stderr, and a sentence when something is wrong."""

import json
from pathlib import Path

import pytest

from bise.cli.main import run

RECIPE = """
name = "stories"
root = "{tmp}/runs"
[rules]
min_words = 5
[sources]
root = "{tmp}"
max_bad_lines = 0.5
[[sources.list]]
name = "stories"
licence = "CC0 1.0"
files = [{{ path = "stories.jsonl" }}]
"""
TEXT = (
    "The bakery at the corner opens before the sun is up. Its owner lights the oven, weighs the flour and hums. "
    "By seven the first children come for rolls, and by eight nothing but crumbs is left on the shelves."
)


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    lines = [json.dumps({"text": TEXT, "lang": "en"}), '{"text": "Hi."}', "{"]
    (tmp_path / "stories.jsonl").write_text("\n".join(lines), encoding="utf-8")
    path = tmp_path / "curate.toml"
    path.write_text(RECIPE.format(tmp=tmp_path.as_posix()), encoding="utf-8")
    return str(path)


def bise(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        run(arguments)
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_json_holds_the_facts(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bise("curate", recipe, "--json") == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert (facts["kept"], facts["dropped"], facts["bad_lines"]) == (1, {"min_words": 1}, 1)
    assert "stories.jsonl, line 3: not JSON" in err


def test_the_table_names_languages_and_reasons(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bise("curate", recipe, "--set", "name=other") == 0
    out, err = capsys.readouterr()
    assert [line.split()[:3] for line in out.splitlines()] == [
        ["kept", "1", "documents"],
        ["en", "1", "documents"],
        ["dropped", "min_words", "1"],
    ]
    assert "other" in err


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["rules.min_wrods=3"], "unknown key min_wrods"),
        (["rules.max_words=1"], "max_words is 1"),
        (["sources.root=/nowhere"], "not at /nowhere/stories.jsonl. Give the directory"),
    ],
)
def test_mistakes_are_a_sentence(
    recipe: str, overrides: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bise("curate", recipe, *(part for override in overrides for part in ("--set", override))) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert "Traceback" not in err


def test_a_report_is_written_beside_a_run_also_later(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bise("curate", recipe) == 0
    page = tmp_path / "runs/curate/stories.html"
    assert not page.exists()
    assert bise("curate", recipe, "--report") == 0
    assert str(page) in capsys.readouterr().err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert bise("curate", recipe, "--report", "--set", "seed=9") == 2
    assert "was made with another recipe" in capsys.readouterr().err


def test_other_rules_are_tried_on_a_finished_run(
    recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bise("curate", recipe) == 0
    capsys.readouterr()
    finished = str(tmp_path / "runs/curate/stories")
    assert bise("curate", recipe, "--set", "rules.min_words=60", "--from-statistics", finished) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["en", "min_words", "1", "0"]


def test_a_story_is_told_in_words_and_as_json(recipe: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bise("curate", recipe) == 0
    finished, document = str(tmp_path / "runs/curate/stories"), "stories/stories.jsonl#2"
    capsys.readouterr()
    assert bise("explain", finished, document) == 0
    assert f"{document}: dropped, min_words (1, threshold 5)" in capsys.readouterr().out
    assert bise("explain", finished, document, "--json") == 0
    assert json.loads(capsys.readouterr().out)["document"]["line"] == 2
    assert bise("explain", finished, "nobody") == 2
    assert "no document with the id 'nobody'" in capsys.readouterr().err
