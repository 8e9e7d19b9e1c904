"""The first time a part stands it stays; later it goes, whole sentences at a time, and nothing else does."""

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.repeats import (
    cut,
    mark_repeats,
    paragraph_hashes,
    paragraph_spans,
    window_hashes,
    window_spans,
)
from bise.corpus.texts import pack, unpack

WORDS = ("über", "été", "niño", "wind", "stone", "river", "haus", "pane", "lune", "кот", "sol", "mer")


def sentence(seed: int, num_words: int = 12) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(WORDS) for _ in range(num_words)).capitalize() + "."


def without_paragraphs(texts: list[str], min_words: int = 10) -> list[str]:
    data, offsets = pack(texts)
    hashes, starts = paragraph_hashes(data, offsets, min_words)
    assert len(starts) == len(texts) + 1
    return unpack(*cut(data, offsets, paragraph_spans(data, offsets, mark_repeats(hashes), min_words)))


def without_windows(texts: list[str], width: int = 50) -> list[str]:
    data, offsets = pack(texts)
    hashes, _ = window_hashes(data, offsets, width)
    return unpack(*cut(data, offsets, window_spans(data, offsets, mark_repeats(hashes), width)))


@pytest.mark.slow
def test_a_paragraph_stands_once_in_the_corpus() -> None:
    shared, a, b, c = (sentence(seed) for seed in range(4))
    texts = [f"{a}\n\n{shared}\n\n{b}", f"{shared.upper()}\n{c}", f"Short.\n\n{shared}", shared, "Short.\n"]
    assert without_paragraphs(texts) == [texts[0], c, "Short.\n\n", "", "Short.\n"]


def test_a_line_within_a_sentence_is_no_paragraph() -> None:
    broken = f"{sentence(1)[:-1]}\n{sentence(2)[:-1]}\n{sentence(3)[:-1]}"
    texts = [broken, f"Other words\n{broken}\nof another text.", f"{sentence(2)[:-1]}\n\nEnd"]
    assert without_paragraphs(texts) == texts
    assert without_paragraphs([sentence(2), f"“{sentence(2)}”\n{sentence(4)}"]) == [sentence(2), sentence(4)]


def test_a_paragraph_repeated_within_its_text_stands_once() -> None:
    a, b = sentence(1), sentence(2)
    assert without_paragraphs([f"{a}\n\n{b}\n\n\n{a}\n{b}\n{a}"]) == [f"{a}\n\n{b}\n\n\n"]


def test_a_shared_window_goes_by_whole_sentences() -> None:
    shared = " ".join(sentence(seed) for seed in range(6))  # 72 words
    a, b, c, d, e, f = (sentence(seed) for seed in range(10, 16))
    texts = [f"{a} {shared} {b}", f"{c} {shared} »{a}« {d}", f"{e}\n\n{shared}\n\n{f}"]
    assert without_windows(texts) == [texts[0], f"{c} »{a}« {d}", f"{e}\n\n{f}"]


def test_a_sentence_that_reaches_out_of_the_window_stays() -> None:
    shared = " ".join(sentence(seed) for seed in range(5))[:-1]  # its last sentence goes on in each text
    texts = [f"{shared} here.", f"{shared} there."]
    last = sentence(4)[:-1]
    assert without_windows(texts) == [texts[0], f"{last} there."]


def test_fewer_words_than_a_window_stay() -> None:
    shared = " ".join(sentence(seed) for seed in range(4))
    assert without_windows([shared, shared], width=49) == [shared, shared]
    assert without_windows([shared, shared], width=48) == [shared, ""]


def slow_windows(texts: list[str], width: int) -> list[str]:
    """The same by sets of words: a sentence goes if every word of it lies in a window that stood before."""
    seen: set[tuple[str, ...]] = set()
    result = []
    for text in texts:
        words = [word.strip(".").lower() for word in text.split()]
        covered = [False] * len(words)
        for k in range(len(words) - width + 1):
            window = tuple(words[k : k + width])
            if window in seen:
                covered[k : k + width] = [True] * width
            seen.add(window)
        rest, k = "", 0
        for part in re.findall(r"[^.\n]*[.\n]\s*|[^.\n]+$", text):
            num_words = len(part.split())
            rest += "" if num_words and all(covered[k : k + num_words]) else part
            k += num_words
        result.append(rest)
    return result


sentences = st.integers(0, 6).map(lambda seed: sentence(seed, 3))
documents = st.lists(st.lists(sentences, max_size=6).map(" ".join), max_size=5)


@settings(max_examples=200, deadline=None)
@given(documents, st.sampled_from([1, 2, 4, 7]))
def test_windows_are_cut_as_by_sets_of_words(texts: list[str], width: int) -> None:
    assert without_windows(texts, width) == slow_windows(texts, width)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("ab é.!?”\n\t漢"), max_size=40), max_size=4), st.sampled_from([1, 2, 3]))
def test_what_is_left_is_text_and_in_order(texts: list[str], size: int) -> None:
    for rest in (without_windows(texts, size), without_paragraphs(texts, size)):
        for text, left in zip(texts, rest, strict=True):
            characters = iter(text)
            assert all(character in characters for character in left)


@settings(max_examples=100, deadline=None)
@given(documents)
def test_paragraphs_and_windows_of_a_batch_are_those_of_its_texts(texts: list[str]) -> None:
    for function in (lambda *batch: paragraph_hashes(*batch, 2), lambda *batch: window_hashes(*batch, 4)):
        hashes, starts = function(*pack(texts))
        for k, text in enumerate(texts):
            assert np.array_equal(hashes[starts[k] : starts[k + 1]], function(*pack([text]))[0])


@given(st.lists(st.integers(0, 9), max_size=30), st.sampled_from([1, 3, 1 << 24]))
def test_repeats_are_those_that_stand_further_left(numbers: list[int], at_once: int) -> None:
    marks = mark_repeats(np.array(numbers, np.uint64), at_once)
    assert marks.tolist() == [number in numbers[:k] for k, number in enumerate(numbers)]


@pytest.mark.parametrize("texts", [[], [""], ["", "\n", "a"]])
def test_nothing_to_cut_leaves_everything(texts: list[str]) -> None:
    assert without_windows(texts) == texts
    assert without_paragraphs(texts) == texts
