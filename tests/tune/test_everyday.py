"""Everyday questions: which are rehearsed, which are watched, and how like two texts are."""

import pytest

from bise.tune.everyday import apart, likeness, questions


def test_what_is_watched_is_never_rehearsed() -> None:
    rehearsed, watched = questions()
    assert not set(rehearsed) & set(watched)
    assert len(rehearsed) > 3 * len(watched) > 60


def test_what_somebody_corrected_is_not_rehearsed_as_it_was() -> None:
    assert apart(["Who are you?", "What is a tree?"], ["who are you"]) == ["What is a tree?"]
    assert apart(["Who are you?"], []) == ["Who are you?"]


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("Open at six.", "open at SIX", 1.0),
        ("Open at six.", "Closed since then", 0.0),
        ("a b c d", "a b", 2 / 3),
        ("a a", "a", 2 / 3),
        ("", "", 1.0),
        ("", "a", 0.0),
    ],
)
def test_likeness_is_the_share_of_words_in_common(text: str, other: str, expected: float) -> None:
    assert likeness(text, other) == likeness(other, text) == pytest.approx(expected)
