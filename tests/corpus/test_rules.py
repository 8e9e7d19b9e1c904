"""Each rule drops what it is for and says so with its numbers; thresholds can be tried again without the text."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.fineweb_2 import FINEWEB_2
from bise.corpus.rules import BOUNDS, REASONS, Drop, Family, Rules, judge
from bise.corpus.statistics import COLUMN, NAMES, Statistics, measure
from bise.corpus.texts import pack

GOOD = """\
On the first morning a crew of seven mended the roof of an old mill that stood beside the river.
They had to be careful, because the beams were rotten and a strong wind blew from the sea.
By noon each of them was hungry; a girl with red boots brought bread, soup and three bottles of cider.
Nobody could say who had built the place, or why its wheel turned backwards whenever it rained.
When evening came they lit a fire, told stories about wolves and slept under canvas until the cold woke them."""
BIRDS = ("wren", "rook", "kite", "swan", "dove", "crow", "gull", "lark", "heron", "finch", "robin", "stork", "swift")
ALL: tuple[Family, ...] = ("gopher_quality", "gopher_repetition", "markup", "c4", "fineweb")


def drop_of(text: str, rules: Rules, lang: str = "en") -> Drop | None:
    return judge(measure(*pack([text]), [lang]), [lang], rules).drop(0)


def words(count: int) -> str:
    return " ".join(f"word{k}" for k in range(count))


@pytest.mark.parametrize(
    ("reason", "text", "families"),
    [
        ("min_words", "Too short.", ALL),
        ("min_words", "", ALL),
        ("max_words", f"{GOOD} {words(100_000)}", ALL),
        ("min_mean_word_length", "a b c d e. " * 20, ALL),
        ("max_mean_word_length", "incomprehensibilities counterrevolutionaries. " * 30, ALL),
        ("max_hashes_per_word", GOOD.replace(" ", " # "), ALL),
        ("max_ellipses_per_word", GOOD.replace(" ", "… "), ALL),
        ("max_bullet_lines", "- " + GOOD.replace("\n", "\n- "), ALL),
        ("max_ellipsis_lines", GOOD.replace(".", "…"), ALL),
        ("min_alpha_words", GOOD + " 2024-01-01 1914-18" * 20, ALL),
        ("min_stop_words", words(60), ALL),
        ("max_markup_per_word", GOOD.replace(" ", "[[[]]] "), ("markup",)),
        ("max_duplicate_paragraphs", f"{GOOD}\n\n{GOOD}\n\n{GOOD}", ALL),
        ("max_duplicate_paragraph_characters", f"{GOOD}\n\n{GOOD}\n\nEnd.\n\nOf.\n\nThis.\n\nText", ALL),
        ("max_duplicate_lines", f"{GOOD}\n{GOOD}", ALL),
        ("max_duplicate_line_characters", "\n".join([GOOD, GOOD[:194], *BIRDS]), ALL),
        ("max_top_2_gram", " ".join(f"polar bear {bird}" for bird in BIRDS), ("gopher_repetition",)),
        ("max_duplicate_5_grams", f"{GOOD} {GOOD}".replace("\n", " "), ALL),
        ("max_lorem_ipsum_lines", f"{GOOD}\nLorem ipsum dolor.", ALL),
        ("max_curly_bracket_lines", f"{GOOD}\nif (a) {{ b; }}", ALL),
        ("min_sentences", GOOD.replace("\n", " ").replace(". ", ", "), ALL),
        ("min_punctuated_lines", GOOD.replace(".", ""), ("fineweb",)),
        ("max_short_lines", "\n".join(f"We saw the {bird} again." for bird in BIRDS), ("fineweb",)),
        ("max_repeated_line_characters", f"{GOOD}\n{GOOD[-80:]}\n{GOOD[-80:]}", ("fineweb",)),
        ("max_newlines_per_word", GOOD.replace("\n", "\n" * 9), ("fineweb",)),
    ],
)
def test_each_rule_names_its_value_and_threshold(reason: str, text: str, families: tuple[Family, ...]) -> None:
    rules = Rules(families=families, max_short_lines=1.0 if "newlines" in reason else 0.67, min_punctuated_lines=0.02)
    drop = drop_of(text, rules)
    assert drop is not None
    assert drop.reason == reason
    assert drop.threshold == getattr(rules, reason)
    assert drop.value < drop.threshold if reason.startswith("min") else drop.value > drop.threshold


@pytest.mark.parametrize(
    ("lines", "allowed", "reason"),
    [
        ("{ a b c }\nLorem ipsum dolor.", 0, "max_curly_bracket_lines"),
        ("Lorem ipsum dolor.\n{ a b c }", 0, "max_lorem_ipsum_lines"),
        ("{ a b c }\nLorem ipsum dolor.\n{ a b c }", 1, "max_lorem_ipsum_lines"),
        ("{ a b c }\n{ a b d }\nLorem ipsum dolor.", 1, "max_curly_bracket_lines"),
        ("{ lorem ipsum }\n{ a b c }", 0, "max_lorem_ipsum_lines"),
    ],
)
def test_of_two_marks_that_c4_refuses_the_line_that_comes_first_gives_the_reason(
    lines: str, allowed: int, reason: str
) -> None:
    drop = drop_of(f"{GOOD}\n{lines}", Rules(families=("c4",), max_curly_bracket_lines=allowed))
    assert drop is not None
    assert drop.reason == reason


def test_prose_passes_every_rule() -> None:
    assert drop_of(GOOD, Rules(families=ALL)) is None


@pytest.mark.parametrize(("wanted", "kept"), [((), True), (("en",), True), (("fr", "de"), False)])
def test_only_wanted_languages_pass(wanted: tuple[str, ...], kept: bool) -> None:
    drop = drop_of(GOOD, Rules(languages=wanted))
    assert drop == (None if kept else Drop("languages", 0.0, 1.0))


def test_an_unsure_language_is_dropped_with_its_confidence() -> None:
    statistics = measure(*pack([GOOD, GOOD]))
    decisions = judge(statistics, ["en", "en"], Rules(min_language_confidence=0.5), np.array([0.25, 0.75], np.float32))
    assert [decisions.drop(0), decisions.drop(1)] == [Drop("min_language_confidence", 0.25, 0.5), None]


def test_a_family_that_is_switched_off_drops_nothing() -> None:
    assert drop_of("Too short.", Rules(families=())) is None
    for bound in BOUNDS:
        impossible = {bound.rule: 1.0 if bound.is_share else 1e9} if bound.is_minimum else {bound.rule: 0.0}
        rules = {"en": impossible}
        others = tuple(family for family in ALL if family != bound.family)
        assert drop_of(GOOD, Rules(families=others, per_language=rules)) is None


def test_a_language_may_have_thresholds_of_its_own() -> None:
    rules = Rules(min_words=10_000, per_language={"en": {"min_words": 10}})
    assert drop_of(GOOD, rules) is None
    assert drop_of(GOOD, rules, "fr") == Drop("min_words", 95.0, 10_000.0)


def test_fineweb_2_gives_each_language_its_thresholds() -> None:
    statistics = measure(*pack([GOOD]), ["fi"])
    statistics.matrix[0, COLUMN["mean_word_length"]] = 12.0
    statistics.matrix[0, COLUMN["stop_words"]] = 2.0
    assert judge(statistics, ["fi"], Rules()).drop(0) == Drop("max_mean_word_length", 12.0, 10.0)
    assert judge(statistics, ["fi"], Rules(fineweb_2=True)).drop(0) is None
    stricter = Rules(fineweb_2=True, per_language={"fi": {"max_mean_word_length": 11}})
    assert judge(statistics, ["fi"], stricter).drop(0) == Drop("max_mean_word_length", 12.0, 11.0)
    assert {rule for thresholds in FINEWEB_2.values() for rule in thresholds} <= set(REASONS)


def test_a_language_without_stop_words_is_not_judged_by_them() -> None:
    assert drop_of(words(60) + ".", Rules(), "qq") is None


def test_every_bound_has_its_field_and_statistic() -> None:
    settings_of_rules = {"languages", "min_language_confidence", "families", "fineweb_2", "per_language"}
    assert {bound.rule for bound in BOUNDS} == {field.name for field in fields(Rules)} - settings_of_rules
    assert {bound.statistic for bound in BOUNDS} <= set(NAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_language": {"fr": {"min_word": 3}}}, "min_word, but the rules are min_words"),
        ({"per_language": {"fr": {"max_short_lines": 3}}}, "per_language.fr.max_short_lines is 3"),
        ({"min_words": 7, "max_words": 6}, "min_words is 7"),
        ({"max_top_2_gram": 1.5}, "max_top_2_gram is 1.5"),
        ({"min_language_confidence": -1.0}, "min_language_confidence is -1.0"),
    ],
)
def test_thresholds_that_cannot_be_meant_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        Rules(**changes)  # type: ignore[arg-type]


texts = st.text(alphabet="ab é#.…-*\n\t{}|1«\x85\u2028", max_size=200)


@settings(deadline=None)
@given(st.lists(st.tuples(texts, st.sampled_from(["en", "fi", "qq"])), max_size=5))
def test_a_batch_decides_as_single_documents_do(batch: Sequence[tuple[str, str]]) -> None:
    rules = Rules(min_words=3, min_mean_word_length=1.0, fineweb_2=True, families=ALL)
    langs = [lang for _, lang in batch]
    decisions = judge(measure(*pack([text for text, _ in batch]), langs), langs, rules)
    assert [decisions.drop(k) for k in range(len(batch))] == [drop_of(text, rules, lang) for text, lang in batch]


def test_stored_statistics_are_judged_again_without_the_text() -> None:
    stored = Statistics(measure(*pack([GOOD, words(60)])).matrix.copy())
    assert judge(stored, ["en", "en"], Rules()).kept.tolist() == [True, False]
    assert judge(stored, ["en", "en"], Rules(min_stop_words=0, max_duplicate_lines=0.0)).reason.min() >= -1
    strict = judge(stored, ["en", "en"], Rules(min_words=95))
    assert [REASONS[reason] if reason >= 0 else "" for reason in strict.reason] == ["", "min_words"]
