"""Folding makes equal what people mean to be equal, and never makes text that a database would read differently."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from bise.store.words import MAX_FOLDED_BYTES, compose, fold, phrases_of, words_of


def test_case_accents_and_ligatures_make_no_difference() -> None:
    for one, other in (
        ("Straße", "STRASSE"),
        ("cœur", "COEUR"),
        ("Ægir", "aegir"),
        ("ﬁnalement", "finalement"),
        ("l’été", "L ETE"),
        ("cafe\u0301", "café"),
        ("Łódź", "lodz"),
        ("İstanbul", "istanbul"),
        ("Σίσυφος", "ΣΙΣΥΦΟΣ"),
        ("niño", "nino"),
        ("snake_case", "snake case"),
    ):
        assert fold(one) == fold(other), (one, other)


def test_where_no_spaces_are_written_each_character_is_a_word_and_runs_stay_together() -> None:
    assert fold("東京タワー") == "東 京 タ ワ ー"
    assert phrases_of("東京 2026 🌬️") == (("東", "京"), ("2026",), ("🌬",))
    assert fold("हिन्दी") == "हिनदी"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=100))
def test_folded_text_is_words_between_single_spaces_and_folds_to_itself(text: str) -> None:
    folded = fold(text)
    assert folded == " ".join(folded.split())
    assert not re.search(r"[\x00-\x1f'\"\\%_*&|!():<>-]", folded)
    assert " ".join(word for phrase in phrases_of(text) for word in phrase) == folded
    composed = compose(text)
    assert all(composed[word.start : word.end] for word in words_of(composed))


def test_what_is_kept_of_an_endless_text_is_bounded() -> None:
    assert len(fold("é" * 100_000).encode()) <= 64
    assert len(fold("東" * 2 * MAX_FOLDED_BYTES).encode()) <= MAX_FOLDED_BYTES
