"""The compiled pass agrees with the plain one, number for number, on prose and on whatever can be typed."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bise.corpus import characters
from bise.corpus.kernels import columns
from bise.corpus.statistics import COLUMN, NAMES, STATISTICS, measure
from bise.corpus.stop_words import STOP_WORDS
from bise.corpus.texts import pack, unpack
from tests.corpus.slow_statistics import is_word, slow_statistics

DATA = Path(__file__).parents[1] / "data" / "raw"
PHRASES = (
    "Lorem ipsum dolor sit amet.",
    "Please enable JavaScript to see this page",
    "We use cookies. Our privacy policy is here; the Terms of Use too.",
    "this reuse of cookies uses cookies, Cookie Policy",
    "function () { return 1 }",
    "He said so.[12] She did not.[citation needed] (Or did she?) “Yes!” [edit]",
    "- a point\n• another one\n  - and a third…\n",
    "It's the U.S. of 3.14 o'clock... and so on…",
    "# Title #\n\n* one_two_three\n\n\n| a | b |\n|---|---|",
    "漢字かな交じり文。カタカナ、ひらがな！",
    "日本 and κόσμε and हिन्दी।",
    "a\r\nb\rc\x0bd\x85e\u2028f\x1cg",
    "x" * 1001 + " is a very long word",
    "terms of use",
    "cookie policy is here",
    "a cookie cookies use cookies now",
    "\u200d\u0301e\u0301 \ufeff\x00 \ud7ff\U0010ffff",
)
PIECES = (
    *PHRASES,
    *"ab .'’…-•#_{}[]|\n\n\t\u00a0é漢の।!?\"»«",
    "the ",
    "of ",
    "and ",
    "\n\n",
    "...",
    "of the cat ",
    "12",
)


def assert_same(text: str, lang: str = "en") -> None:
    [row] = measure(*pack([text]), [lang]).matrix
    assert dict(zip(NAMES, row.tolist(), strict=True)) == slow_statistics(text, lang)


@pytest.mark.parametrize("text", ["", "\n", "\n\n\n", " ", " \n \n\n ", "a", ".", *PHRASES, "\n\n".join(PHRASES * 2)])
def test_awkward_texts_are_measured_as_the_papers_say(text: str) -> None:
    assert_same(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example("“Yes!” [edit]]")
@example("Yes. [[edit] No.")
@example("Yes. [[12]] [] No.[3]")
def test_random_pieces_are_measured_as_the_papers_say(text: str) -> None:
    assert_same(text)


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
def test_any_characters_are_measured_as_the_papers_say(text: str) -> None:
    assert_same(text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["the cat ", "sat ", "on a mat. ", "x ", "\n"]), max_size=120).map("".join))
def test_repetition_is_measured_as_the_papers_say(text: str) -> None:
    assert_same(text)


@pytest.mark.parametrize("path", sorted(DATA.glob("*.jsonl")), ids=lambda path: path.stem)
def test_real_documents_are_measured_as_the_papers_say(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines()[:20]:
        assert_same(line)


def test_a_batch_is_measured_as_its_texts_are() -> None:
    batch = measure(*pack(PHRASES)).matrix
    assert np.array_equal(batch, np.vstack([measure(*pack([text])).matrix for text in PHRASES]))
    assert measure(*pack([])).matrix.shape == (0, len(STATISTICS))


def test_one_giant_text_is_measured_like_others() -> None:
    text = "\n".join(
        f"The {k}th line of a giant, {k % 97} and {k % 31}, has a middle and an end." for k in range(20_000)
    )
    assert_same(text)


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_bytes_that_are_no_text_harm_nothing(parts: list[bytes]) -> None:
    offsets = np.cumsum([0, *map(len, parts)])
    row = measure(np.frombuffer(b"".join(parts), np.uint8), offsets).matrix
    assert np.isfinite(row).all()
    assert (row[:, COLUMN["characters"]] <= np.diff(offsets)).all()


@pytest.mark.parametrize("lang", ["fr", "de", "sr"])
def test_stop_words_are_those_of_the_language(lang: str) -> None:
    text = " ".join(STOP_WORDS[lang][:5])
    assert measure(*pack([text]), [lang]).column("stop_words").tolist() == [5.0]
    assert np.isnan(measure(*pack([text]), ["qq"]).column("stop_words")).all()


def test_every_column_of_the_kernels_has_its_name() -> None:
    assert [getattr(columns, name.upper()) for name in NAMES] == list(range(columns.NUM_COLUMNS))
    assert max(map(len, STOP_WORDS.values())) <= 64


@pytest.mark.parametrize(
    ("character", "bits"),
    [
        ("a", characters.WORD | characters.ALPHA | characters.PLAIN),
        ("7", characters.WORD | characters.PLAIN),
        ("。", characters.TERMINAL),
        ("漢", characters.WORD | characters.ALPHA | characters.PLAIN | characters.IDEOGRAPH),
        ("\u2028", characters.SPACE | characters.BREAK | characters.PLAIN),
        ("€", characters.PLAIN),
        ("_", characters.WORD | characters.MARKUP),
        ("»", characters.CLOSER),
    ],
)
def test_kinds_of_characters(character: str, bits: int) -> None:
    assert characters.kinds()[ord(character)] == bits


def test_the_tables_hold_for_every_character() -> None:
    kinds, letters, (folds, _) = characters.kinds(), characters.letters(), characters.folds()
    for code in range(characters.CODE_POINTS):
        if 0xD800 <= code < 0xE000 or unicodedata.category(chr(code)) == "Co":
            continue
        character = chr(code)
        assert bool(kinds[code] & characters.ALPHA) == character.isalpha()
        assert bool(kinds[code] & characters.SPACE) == character.isspace()
        assert bool(kinds[code] & characters.WORD) == is_word(character)
        assert bool(characters.combining_classes()[code]) == bool(unicodedata.combining(character))
        if folds[code] < characters.CODE_POINTS:
            assert chr(folds[code]) == unicodedata.normalize("NFD", character.casefold())
        assert letters[code] in (0, 32, 48) or chr(letters[code]).lower() == chr(letters[code])


def test_letters_lose_their_marks_and_syllables_do_not() -> None:
    assert [chr(characters.letters()[ord(character)]) for character in "Éñ한漢Я٣«"] == list("en한漢я0 ")


@given(st.lists(st.text(max_size=20), max_size=5))
def test_unpacking_undoes_packing(texts: list[str]) -> None:
    assert unpack(*pack(texts)) == texts
