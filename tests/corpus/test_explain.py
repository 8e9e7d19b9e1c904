"""What a run says of its documents afterwards: one story, other thresholds, and a page."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bise.corpus.explain import explain, in_words
from bise.corpus.output import STATISTICS_FOLDER
from bise.corpus.pipeline import curate
from bise.corpus.recipe import CurateRecipe, Language
from bise.corpus.report import report
from bise.corpus.retune import retune
from bise.corpus.rules import REASONS
from bise.corpus.seen import Run
from bise.errors import InputError, NotFoundError
from bise.runs import RunDirectory

Maker = Callable[..., Any]
HOSTILE = "<script>alert('a')</script><img src=x onerror=alert(1)> & \"quoted\" </p></div></main>"


@pytest.fixture
def recipe(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> CurateRecipe:
    """Good documents, a copy, a short one, and one whose every field wants to be markup."""
    good = make_records("good", 6)
    more = "On Sunday nobody bakes, so the street sleeps late and the cat on the wall has the sun to herself."
    good[5]["text"] += f" {more}"
    copy = {**good[2], "id": "copy"}
    hostile = {"id": HOSTILE, "text": f"{HOSTILE} {good[0]['text']} {HOSTILE}", "lang": HOSTILE}
    write_lines("good.jsonl", [*good, {"id": "short", "text": "Hi there.", "lang": "en"}, copy, hostile])
    recipe: CurateRecipe = make_recipe("good.jsonl", min_words=20)
    return recipe


@pytest.fixture
def run(recipe: CurateRecipe) -> Run:
    curate(recipe)
    return Run(recipe.root / "curate" / recipe.name)


def test_a_drop_is_told_with_its_place_value_and_threshold(run: Run) -> None:
    story = explain(run, "short")
    assert (story.row["file"], story.row["line"]) == ("good.jsonl", 7)
    failed = [check for check in story.checks if not check.passed]
    assert failed[0].rule == story.row["reason"] == "min_words"
    assert (failed[0].value, failed[0].threshold) == (story.row["value"], story.row["threshold"]) == (2.0, 20.0)
    words = in_words(story)
    assert "short: dropped, min_words (2, threshold 20)" in words
    assert "good.jsonl, line 7" in words
    assert "✗ min_words" in words
    assert "Hi there." in words


def test_a_kept_document_fails_no_check(run: Run) -> None:
    story = explain(run, "good/1")
    assert story.checks
    assert all(check.passed for check in story.checks)
    assert "good/1: kept" in in_words(story)


def test_a_copy_names_the_twin_that_was_kept_and_where_it_lies(run: Run) -> None:
    story = explain(run, "copy")
    assert story.twin
    assert story.twin["id"] == "good/2"
    assert set(story.cluster) == {"good/2", "copy"}
    assert explain(run, "good/2").cluster == story.cluster
    assert re.search(r"twin +good/2, 1.00 alike: The bakery", in_words(story))
    assert "from good.jsonl, line 3" in in_words(story)


def test_an_unknown_id_shows_others(run: Run) -> None:
    with pytest.raises(NotFoundError, match=r"no document with the id 'good/'.*9 documents, such as good/0, good/1"):
        explain(run, "good/")


def test_only_curate_runs_can_be_explained(tmp_path: Path) -> None:
    other = RunDirectory(tmp_path, "train", "a")
    other.finish({}, [], {})
    with pytest.raises(InputError, match="holds a train run"):
        Run(other.path)


def test_the_same_rules_change_nothing(run: Run, recipe: CurateRecipe) -> None:
    assert retune(run, recipe.rules) == []


def test_a_text_in_another_language_is_dropped_whatever_the_rules_say(
    write_lines: Maker, make_records: Maker, make_recipe: Maker
) -> None:
    german = "Der alte Hund schläft den ganzen Tag hinter der Tür und träumt von seinen vielen Knochen."
    write_lines("a.jsonl", [*make_records("a", 3), {"id": "german", "text": german, "lang": "en"}])
    recipe = replace(make_recipe("a.jsonl", min_words=20), language=Language(identify="check"))
    curate(recipe)
    run = Run(recipe.root / "curate" / recipe.name)
    assert explain(run, "german").row["reason"] == "min_contradiction"
    assert retune(run, recipe.rules) == []


def test_retuning_says_what_curating_again_would_do(run: Run, recipe: CurateRecipe) -> None:
    for number, values in enumerate(({"min_words": 70}, {"families": ()})):
        rules = replace(recipe.rules, **values)
        curate(replace(recipe, name=f"again{number}", rules=rules))
        again = Run(recipe.root / "curate" / f"again{number}")
        before, after = (np.isin(tried.words("reason"), REASONS) for tried in (run, again))
        changes = retune(run, rules)
        assert sum(change.newly_dropped for change in changes) == (~before & after).sum()
        assert sum(change.newly_kept for change in changes) == (before & ~after).sum()
        assert changes


def test_statistics_of_an_older_version_are_refused_by_name(run: Run, recipe: CurateRecipe) -> None:
    for path in (run.directory / STATISTICS_FOLDER).iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["early_curly_bracket_lines"]), path)
    with pytest.raises(InputError, match=r"did not measure early_curly_bracket_lines yet\. Curate again"):
        retune(Run(run.directory), recipe.rules)
    assert explain(Run(run.directory), "good/1").checks


class Page(HTMLParser):
    """The tags of a page and whatever could load or run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "rect", "path"):
            self.open.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        if self.open[-1:] == [tag]:
            self.open.pop()
        else:
            assert tag in ("rect", "path"), f"</{tag}> closes {self.open[-1:]}"


def test_texts_cannot_become_markup_of_the_page(run: Run) -> None:
    text = report(run)
    page = Page(text)
    assert not page.open
    assert not {"script", "img", "iframe", "link", "object"} & set(page.tags)
    assert "alert" in text, "the hostile document is on the page"
    assert "<script" not in text
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_the_page_names_every_reason_and_language(run: Run) -> None:
    text = report(run)
    for words in ("min_words", "exact_duplicate", "good", "dropped, min_words", "kept, en", "mean_word_length"):
        assert words in text
