"""Repair and normalisation: what is odd becomes plain, what is sound stays, and twice is once."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bise.corpus.clean import even_spacing
from bise.corpus.kernels.marks import DECOMPOSED, MOJIBAKE
from bise.corpus.kernels.marks import ODD as ODD_MARK
from bise.corpus.marks import MISREAD, ODD, marks_of
from bise.corpus.normalise import Form, normalise, normalise_batch
from bise.corpus.texts import pack, unpack

SOUND = (
    "Das Mädchen fragte: »Wo ist der Hund?«\n\tPerché? «Perché è così.»\n\n¿Qué pasó? – « C’est l’été… » "
    "Ångström, naïve, ÅÄÖ, Čeština, Ελληνικά, 日本語、한국어, عربي, हिन्दी 👩‍👩‍👧 x² ½ ©®™ €5"
)


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("l\u2019\u00c3\u00a9t\u00c3\u00a9 dernier", "l’été dernier"),
        ("Ã©tÃ© Ã\xa0 la plage â€œouiâ€\x9d", "été à la plage “oui”"),
        ("schÃ¶n\nL\u00f6we", "schön\nLöwe"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442".encode().decode("latin-1"), "Привет"),
        ("e\u0301te\u0301", "été"),
        ("one\r\ntwo\rthree\u2028four\x0bfive", "one\ntwo\nthree\nfour\nfive"),
        ("a\u00a0b\u2009c\u3000d", "a b c d"),
        ("soft\u00adhyphen, zero\u200bwidth, \ufeffmark, be\u0007ll, over\u202eride", "softhyphen, zerowidth, mark, bell, override"),
        ("it\x92s \x93so\x94", "it’s “so”"),
    ],
)  # fmt: skip
def test_what_is_odd_becomes_plain(text: str, sound: str) -> None:
    assert normalise(text) == sound


def test_sound_text_stays() -> None:
    assert normalise(SOUND) == SOUND


def test_the_form_is_a_choice() -> None:
    assert normalise("ﬁve ²", "NFKC") == "five 2"
    assert normalise("e\u0301", "none") == "e\u0301"
    assert normalise("Ã©", repair=False) == "Ã©"


MIXED = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("ÃÂâ€©¤\u00a0\u0301e\r\n\t \x92€™œ")), max_size=40)  # fmt: skip


@settings(deadline=None)  # the first call compiles
@example("×\x08¤", "NFC")
@given(MIXED, st.sampled_from(["NFC", "NFKC"]))
def test_twice_is_once(text: str, form: str) -> None:
    once = normalise(text, form)  # type: ignore[arg-type]
    assert normalise(once, form) == once  # type: ignore[arg-type]
    assert unicodedata.is_normalized(form, once)  # type: ignore[arg-type]
    assert not ODD.search(once)


@settings(deadline=None)  # the first call compiles
@given(MIXED)
def test_marks_are_those_that_slower_searches_find(text: str) -> None:
    marks = marks_of(text)
    assert bool(marks & ODD_MARK) == (ODD.search(text) is not None)
    assert bool(marks & MOJIBAKE) == (MISREAD.search(text) is not None)
    if not unicodedata.is_normalized("NFC", text):
        assert marks & DECOMPOSED


@settings(deadline=None)  # the first call compiles
@given(st.text(alphabet="a1 \t\n-*.)\r\x07\u00ad\ufeffé«ï", max_size=80))
def test_even_spacing_is_what_it_says(text: str) -> None:
    even = even_spacing(text)
    assert not set(even) & set("\r\x07\u00ad\ufeff")
    assert even_spacing(even) == even
    assert "\n\n\n" not in even
    assert even.strip("\n") == even
    for line in even.split("\n"):
        assert line == line.rstrip(" \t")
        assert not line.startswith((" ", "\t")) or line.lstrip(" \t")[:1] in "-*1"


@settings(deadline=None)
@given(
    st.lists(st.text(st.sampled_from("aé\u0301\u00a0Ã©\r\n\u200bﬁ漢"), max_size=20), max_size=5),
    st.sampled_from(["NFC", "NFKC", "none"]),
    st.booleans(),
)
def test_a_batch_is_normalised_as_its_texts_are(texts: list[str], form: Form, repair: bool) -> None:
    changed, data, offsets = normalise_batch(texts, *pack(texts), form, repair=repair)
    expected = [normalise(text, form, repair=repair) for text in texts]
    assert unpack(data, offsets) == expected
    assert changed == {k: new for k, (old, new) in enumerate(zip(texts, expected, strict=True)) if new != old}
