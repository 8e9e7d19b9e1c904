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


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    lines = ['{"text": "A cat sat on the warm wall all day.", "lang": "en"}', '{"text": "Hi."}', "{"]
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
