"""Copies are found whatever their case, white space and composition; near copies are those of brute force."""

import random
import unicodedata
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bise.corpus import characters
from bise.corpus.duplicates import (
    BANDS,
    NUM_HASHES,
    NearDuplicates,
    band_keys,
    find_near_duplicates,
    shingles,
    signatures,
    text_digests,
)
from bise.corpus.kernels.compile import kernel
from bise.corpus.kernels.text import Bytes, Longs
from bise.corpus.kernels.words import find_words
from bise.corpus.repeats import window_hashes
from bise.corpus.texts import pack

ReadShingles = Callable[[NDArray[np.int64]], tuple[NDArray[np.uint64], NDArray[np.int64]]]
VOCABULARY = [
    f"{a}{b}" for a in ("ka", "lo", "mi", "ne", "po", "ru", "sa") for b in ("d", "f", "lt", "m", "st", "x", "rg")
]


def normalised(text: str) -> str:
    return " ".join(unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold()).split())


def prose(seed: int, num_words: int = 120) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(VOCABULARY) for _ in range(num_words)]


def edited(words: list[str], seed: int, share: float) -> list[str]:
    rng = random.Random(seed)
    return [rng.choice(VOCABULARY) if rng.random() < share else word for word in words]


def reader(texts: list[str]) -> ReadShingles:
    return lambda indices: shingles(*pack([texts[index] for index in indices]))


def find(texts: list[str], threshold: float = 0.75, rank: NDArray[np.float64] | None = None) -> NearDuplicates:
    return find_near_duplicates(band_keys(signatures(*pack(texts))), reader(texts), threshold, rank)


def word_sets(texts: list[str]) -> list[set[tuple[str, ...]]]:
    result = []
    for text in texts:
        words = text.split()
        width = min(5, len(words))
        result.append({tuple(words[k : k + width]) for k in range(len(words) - width + 1)} if words else set())
    return result


def brute_force(texts: list[str], threshold: float) -> list[int]:
    """The lowest member of the set of each text, by comparing all pairs that share a band."""
    sets, lowest = word_sets(texts), list(range(len(texts)))
    keys = band_keys(signatures(*pack(texts)))
    for a in range(len(texts)):
        for b in range(a):
            union = sets[a] | sets[b]
            if union and (keys[a] == keys[b]).any() and len(sets[a] & sets[b]) / len(union) >= threshold:
                old, new = max(lowest[a], lowest[b]), min(lowest[a], lowest[b])
                lowest = [new if member == old else member for member in lowest]
    return lowest


def family(seed: int, size: int) -> list[str]:
    """Texts of several origins, each in versions further and further from it."""
    texts = []
    for k in range(size):
        origin = prose(seed * 100 + k // 4)
        texts.append(" ".join(edited(origin, k, (k % 4) * 0.012)))
    return texts


def test_case_white_space_and_composition_do_not_matter() -> None:
    same = ["Été à  Paris.", "  été\nà paris. ", "E\u0301te\u0301 a\u0300 PARIS."]
    different = ["ete a paris.", "été à paris", ""]
    digests = text_digests(*pack(same + different))
    assert digests.shape == (6, 2)
    assert (digests[:3] == digests[0]).all()
    assert len(np.unique(digests, axis=0)) == 4


letters = st.text(st.sampled_from("aAßẞéÉe\u0301\u0327\u0323 \n\u00a0İiΣςσ한\u1112\u1161ﬁfı"), max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.lists(letters, max_size=8))
def test_digests_are_equal_where_the_normalised_texts_are(texts: list[str]) -> None:
    digests = [tuple(digest) for digest in text_digests(*pack(texts)).tolist()]
    forms = [normalised(text) for text in texts]
    for a in range(len(texts)):
        assert [digests[a] == other for other in digests] == [forms[a] == other for other in forms]


def test_shingles_do_not_see_case_accents_punctuation_and_numbers() -> None:
    one, other, third = "Été à la mer, en 1914: «Oui»!", "ete a la mer - en 2026 oui", "ete a la mer en oui"
    data, offsets = pack([one, other, third])
    hashes, starts = shingles(data, offsets)
    assert np.array_equal(hashes[: starts[1]], hashes[starts[1] : starts[2]])
    assert np.intersect1d(hashes[: starts[1]], hashes[starts[2] :]).size != starts[1]
    assert np.array_equal(signatures(data, offsets)[0], signatures(data, offsets)[1])


def test_shingles_are_five_words_or_all_of_fewer() -> None:
    words = prose(1, 9)
    data, offsets = pack([" ".join(words), " ".join(words[:5]), " ".join(words[:3]), "", "!!", "漢字かな交じり"])
    assert np.diff(shingles(data, offsets)[1]).tolist() == [5, 1, 1, 0, 0, 3]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([*family(3, 12), "", "!", "a b"]), max_size=8))
def test_signatures_and_shingles_of_a_batch_are_those_of_its_texts(texts: list[str]) -> None:
    whole, (hashes, starts) = signatures(*pack(texts)), shingles(*pack(texts))
    assert whole.shape == (len(texts), NUM_HASHES)
    for k, text in enumerate(texts):
        assert np.array_equal(whole[k], signatures(*pack([text]))[0])
        assert np.array_equal(hashes[starts[k] : starts[k + 1]], shingles(*pack([text]))[0])


def test_signatures_agree_as_often_as_shingles_do() -> None:
    origin = prose(1, 3000)
    texts = [" ".join(origin), " ".join(edited(origin, 2, 0.03)), " ".join(prose(9, 3000))]
    sets = word_sets(texts)
    jaccard = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    signed = signatures(*pack(texts))
    assert abs((signed[0] == signed[1]).mean() - jaccard) < 0.15
    assert (signed[0] == signed[2]).mean() < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_near_copies_are_those_of_brute_force(seed: int) -> None:
    texts = [*family(seed, 32), "", "", "a", "a", "one two three four", "One, two: three four!"]
    expected = np.array(
        brute_force([text.lower().replace(",", "").replace(":", "").replace("!", "") for text in texts], 0.75)
    )
    found = find(texts)
    alone = np.bincount(expected, minlength=len(texts))[expected] == 1
    assert np.array_equal(found.cluster, np.where(alone, -1, expected))
    assert found.removed.sum() == (~alone).sum() - len(set(expected[~alone]))


def test_the_similarity_told_is_that_with_the_keeper() -> None:
    texts = family(7, 24)
    found, sets = find(texts), word_sets(texts)
    assert found.removed.any()
    for k in np.flatnonzero(found.keeper >= 0):
        a, b = sets[k], sets[found.keeper[k]]
        assert found.similarity[k] == pytest.approx(len(a & b) / len(a | b))
    assert (found.keeper[found.removed] == found.cluster[found.removed]).all()


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(24)))
def test_sets_of_copies_do_not_depend_on_the_order(order: list[int]) -> None:
    texts = family(5, 24)
    straight, shuffled = find(texts), find([texts[k] for k in order])

    def sets(cluster: NDArray[np.int64], names: list[int]) -> set[frozenset[int]]:
        return {frozenset(np.array(names)[cluster == c]) for c in set(cluster.tolist()) - {-1}}

    assert sets(straight.cluster, list(range(24))) == sets(shuffled.cluster, order)


def test_groups_compared_apart_find_the_same() -> None:
    texts = family(8, 60)
    whole = find(texts)
    parts = find_near_duplicates(band_keys(signatures(*pack(texts))), reader(texts), group_size=5)
    assert np.array_equal(whole.cluster, parts.cluster)
    assert np.array_equal(whole.keeper, parts.keeper)
    assert np.array_equal(whole.similarity, parts.similarity, equal_nan=True)
    assert parts.peak_bytes < whole.peak_bytes


def test_the_lowest_rank_is_kept() -> None:
    texts = ["", *[" ".join(prose(1))] * 3]
    assert find(texts).keeper.tolist() == [-1, 1, 1, 1]
    assert find(texts, rank=np.array([0.0, 3.0, 1.0, 1.0])).keeper.tolist() == [-1, 2, 2, 2]


def test_documents_found_earlier_stay_kept_beside_those_to_come() -> None:
    """A later batch is compared with the keys of an earlier one, which has the lower rank."""
    earlier, later = family(4, 12), family(4, 16)
    keys = np.concatenate([band_keys(signatures(*pack(texts))) for texts in (later, earlier)])
    rank = np.repeat([1.0, 0.0], [len(later), len(earlier)])
    found = find_near_duplicates(keys, reader(later + earlier), rank=rank)
    assert found.removed[:12].all()
    assert (found.keeper[:12] >= len(later)).all()
    assert np.array_equal(keys, band_keys(signatures(*pack(later + earlier))))


def test_nothing_and_one_text_repeat_nothing() -> None:
    assert find([]).cluster.tolist() == []
    assert find(["a b c"]).cluster.tolist() == [-1]
    assert band_keys(signatures(*pack([""]))).tolist() == [[0] * BANDS]


def slow_words(text: str) -> list[str]:
    """The words of a text letter by letter, as `characters.letters` folds them."""
    folded: list[str] = []
    for character in text:
        letter = chr(characters.letters()[ord(character)])
        if letter == "\0" or (letter == "0" and folded[-1:] == ["0"]):
            continue
        is_alone = ord(character) >= 0x3041 and characters.kinds()[ord(character)] & characters.IDEOGRAPH
        folded += [" ", letter, " "] if is_alone else [letter]
    return "".join(folded).split()


long_texts = st.text(st.sampled_from("abcdefghijxyzAÉéßǅΣ_019 .,\n\t\u00a0\u0301漢字のＡ𝒳한"), max_size=300)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(long_texts, st.lists(st.sampled_from(prose(4, 30) + ["a" * n for n in range(1, 40)])))))
def test_words_are_those_letter_by_letter(parts: list[str | list[str]]) -> None:
    texts = [part if isinstance(part, str) else " ".join(part) for part in parts]
    data, offsets = pack(texts)
    hashes, starts = window_hashes(data, offsets, 1)
    expected = [word for text in texts for word in slow_words(text)]
    assert np.diff(starts).tolist() == [len(slow_words(text)) for text in texts]
    assert len(set(hashes.tolist())) == len(set(expected))
    assert len(set(zip(hashes.tolist(), expected, strict=True))) == len(set(expected))


@kernel
def find_words_of_one(data: Bytes, kinds: NDArray[np.uint16], letters: NDArray[np.uint32], bounds: Longs) -> int:
    return find_words(data, 0, data.size, kinds, letters, bounds)


@settings(max_examples=100, deadline=None)
@given(long_texts)
def test_where_words_stand_is_told_for_the_same_words(text: str) -> None:
    data, _ = pack([text])
    bounds = np.empty((len(data) + 1, 2), np.int64)
    count = find_words_of_one(data, characters.kinds(), characters.letters(), bounds)
    spans = [data[begin:end].tobytes().decode() for begin, end in bounds[:count]]
    assert [slow_words(span) for span in spans] == [[word] for word in slow_words(text)]


@settings(max_examples=100, deadline=None)
@given(st.lists(long_texts, max_size=3))
def test_digests_of_long_texts_are_equal_where_the_normalised_texts_are(texts: list[str]) -> None:
    texts = [
        form for text in texts for form in (text, text.swapcase(), unicodedata.normalize("NFD", text), f" {text}\n")
    ]
    digests = [tuple(digest) for digest in text_digests(*pack(texts)).tolist()]
    forms = [normalised(text) for text in texts]
    for a in range(len(texts)):
        assert [digests[a] == other for other in digests] == [forms[a] == other for other in forms]


def test_a_slot_is_equal_as_often_as_the_shingles_are_alike() -> None:
    """Whether texts have many shingles or fewer than there are slots."""
    for num_words, num_pairs in ((3000, 40), (90, 200), (12, 800)):
        agreement, alike = [], []
        for seed in range(num_pairs):
            origin = prose(seed, num_words)
            texts = [
                " ".join(origin),
                " ".join([*origin[: num_words - num_words // 5], *prose(seed + 999, num_words // 5)]),
            ]
            a, b = word_sets(texts)
            alike.append(len(a & b) / len(a | b))
            signed = signatures(*pack(texts))
            agreement.append((signed[0] == signed[1]).mean())
        assert abs(np.mean(agreement) - np.mean(alike)) < 0.02
