"""Each rule drops what it is for and says so with its numbers; batches decide as single documents do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.corpus.document import Document
from bise.corpus.recipe import Rules
from bise.corpus.rules import BOUNDS, STATISTICS, ExactDuplicates, judge, measure, text_digest

GOOD = "\n".join(
    f"On the {day} day the crew mended the roof, counted the nails that were left and walked home along the river."
    for day in ("first", "second", "third", "fourth", "fifth")
)

BIRDS = ("wren", "rook", "kite", "swan", "dove", "crow", "gull", "lark", "heron", "finch", "robin", "stork", "swift")


def document(text: str, lang: str = "en", name: str = "a") -> Document:
    return Document(name, text, "s", "CC0 1.0", lang)


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("min_words", "Too short."),
        ("min_words", ""),
        ("max_words", GOOD * 2000),
        ("min_mean_word_length", "a b c d e. " * 20),
        ("max_mean_word_length", "incomprehensibilities counterrevolutionaries. " * 30),
        ("min_alpha_words", GOOD + " 2024-01-01 |||| ====" * 20),
        ("max_symbols_per_word", GOOD + " # etc... #tag" * 20),
        ("max_markup_per_word", GOOD.replace(" ", "[](x) ")),
        ("max_bullet_lines", "- " + GOOD.replace("\n", "\n- ")),
        ("max_ellipsis_lines", GOOD.replace(".", "…")),
        ("max_duplicate_line_characters", f"{GOOD}\n{GOOD}"),
        ("min_punctuated_lines", GOOD.replace(".", "")),
        ("max_short_lines", "\n".join(f"We saw the {bird} again." for bird in BIRDS)),
    ],
)
def test_each_rule_names_its_value_and_threshold(reason: str, text: str) -> None:
    rules = Rules()
    [drop] = judge([document(text)], rules)
    assert drop is not None
    assert drop.reason == reason
    assert drop.threshold == getattr(rules, reason)
    assert drop.value < drop.threshold if reason.startswith("min") else drop.value > drop.threshold


def test_prose_passes_every_rule() -> None:
    assert judge([document(GOOD)], Rules()) == [None]


@pytest.mark.parametrize(("wanted", "kept"), [((), True), (("en",), True), (("fr", "de"), False)])
def test_only_wanted_languages_pass(wanted: tuple[str, ...], kept: bool) -> None:
    [drop] = judge([document(GOOD)], Rules(languages=wanted))
    assert (drop is None) == kept
    assert drop is None or (drop.reason, drop.value, drop.threshold) == ("languages", 0.0, 1.0)


def test_every_bound_has_its_rule_and_statistic() -> None:
    assert {rule for rule, _, _ in BOUNDS} == {name for name in vars(Rules()) if name != "languages"}
    assert measure([]).shape == (0, len(STATISTICS))


texts = st.text(alphabet="ab é#.…-*\n\t{}|1«\x85\u2028", max_size=200)


@given(st.lists(texts, max_size=5))
def test_a_batch_decides_as_single_documents_do(batch: list[str]) -> None:
    documents = [document(text) for text in batch]
    rules = Rules(min_words=3, min_mean_word_length=1.0)
    assert judge(documents, rules) == [judge([one], rules)[0] for one in documents]


@given(texts)
def test_statistics_are_finite_and_shares_stay_between_0_and_1(text: str) -> None:
    row = dict(zip(STATISTICS, measure([text])[0].tolist(), strict=True))
    assert all(math.isfinite(value) for value in row.values())
    for share in ("alpha_words", "bullet_lines", "duplicate_line_characters", "punctuated_lines", "short_lines"):
        assert 0 <= row[share] <= 1


def test_the_first_of_equal_texts_is_kept_and_named() -> None:
    duplicates = ExactDuplicates()
    spellings = [GOOD, "Another text.", GOOD.upper(), "  " + GOOD.replace(" ", "  ") + "\n"]
    drops = [duplicates.judge(document(text, name=str(i))) for i, text in enumerate(spellings)]
    assert [drop and (drop.reason, drop.value, drop.threshold, drop.twin) for drop in drops] == [
        None,
        None,
        ("duplicate", 2.0, 1.0, "0"),
        ("duplicate", 3.0, 1.0, "0"),
    ]


def test_composed_and_decomposed_letters_are_the_same_text() -> None:
    assert text_digest("\u00e9t\u00e9") == text_digest("e\u0301te\u0301") != text_digest("ete")
