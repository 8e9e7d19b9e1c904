"""Labels are py3langid's own, on texts of every kind; a batch is told as its texts are."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import py3langid.langid
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.language import MAX_BYTES, identify_languages, load_model
from bise.corpus.texts import pack
from bise.errors import InputError

FILES = sorted((Path(__file__).parents[1] / "data" / "raw").glob("*.jsonl"))
TEXTS = [json.loads(line)["text"] for path in FILES for line in path.read_text(encoding="utf-8").splitlines()[:30]]
LONG_TEXTS = [text for text in TEXTS if len(text) > 20]
SENTENCES = (
    "The old miller had three sons and nothing to leave them.",
    "Le vieux meunier avait trois fils et rien à leur laisser.",
    "Der alte Müller hatte drei Söhne und nichts, was er ihnen hinterlassen konnte.",
    "El viejo molinero tenía tres hijos y nada que dejarles.",
    "Il vecchio mugnaio aveva tre figli e nulla da lasciare loro.",
    "Старый мельник имел трёх сыновей.",
    "ΟΛΟΙ ΟΙ ΑΝΘΡΩΠΟΙ ΓΕΝΝΙΟΥΝΤΑΙ ΕΛΕΥΘΕΡΟΙ",
    "人人生而自由,在尊严和权利上一律平等。",
    "모든 인간은 태어날 때부터 자유로우며",
    "すべての人間は、生まれながらにして自由であり",
    "ALLE MENSCHEN SIND FREI UND GLEICH AN WÜRDE UND RECHTEN GEBOREN. 日本",
)


@pytest.fixture(scope="module")
def peer() -> py3langid.langid.LanguageIdentifier:
    return py3langid.langid.LanguageIdentifier.from_model_file(py3langid.langid.MODEL_FILE)


@pytest.fixture(scope="module")
def sure_peer() -> py3langid.langid.LanguageIdentifier:
    return py3langid.langid.LanguageIdentifier.from_model_file(py3langid.langid.MODEL_FILE, norm_probs=True)


def label(peer: py3langid.langid.LanguageIdentifier, text: str) -> str:
    """py3langid's label; where it found nothing it gives the first of all, and we none."""
    code, score = peer.classify(text)
    return "" if score == py3langid.langid.RAW_FLOOR else str(code)


def assert_same(peer: py3langid.langid.LanguageIdentifier, texts: list[str]) -> None:
    codes, _ = identify_languages(*pack(texts), max_bytes=None)
    assert codes == [label(peer, text) for text in texts]


def test_documents_are_told_as_by_the_package(peer: py3langid.langid.LanguageIdentifier) -> None:
    assert len(TEXTS) > 50
    assert_same(peer, TEXTS)
    assert_same(peer, [text.upper() for text in TEXTS[:40]])
    assert_same(peer, [unicodedata.normalize("NFD", text) for text in TEXTS[:40]])


def test_sentences_are_told_as_by_the_package(peer: py3langid.langid.LanguageIdentifier) -> None:
    assert_same(peer, [*SENTENCES, *(unicodedata.normalize("NFD", text) for text in SENTENCES)])
    codes, _ = identify_languages(*pack(SENTENCES))
    assert codes == ["en", "fr", "de", "es", "it", "ru", "el", "zh", "ko", "ja", "de"]


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=40))
def test_any_characters_are_told_as_by_the_package(text: str) -> None:
    identifier = py3langid.langid._get_identifier()
    assert_same(identifier, [text])


def test_confidences_are_those_of_the_package(sure_peer: py3langid.langid.LanguageIdentifier) -> None:
    _, confidences = identify_languages(*pack(LONG_TEXTS), max_bytes=None)
    assert confidences == pytest.approx([sure_peer.classify(text)[1] for text in LONG_TEXTS], abs=2e-3)


def test_a_choice_of_languages_is_that_of_the_package() -> None:
    languages = ("en", "fr", "de", "es", "it")
    identifier = py3langid.langid.LanguageIdentifier.from_model_file(py3langid.langid.MODEL_FILE)
    identifier.set_languages(languages)
    codes, confidences = identify_languages(*pack([*LONG_TEXTS, *SENTENCES]), languages, None)
    assert codes == [identifier.classify(text)[0] for text in [*LONG_TEXTS, *SENTENCES]]
    assert (confidences > 0.2).all()


def test_only_the_beginning_is_read_and_no_character_is_cut() -> None:
    for width, text in ((2, "é" * MAX_BYTES), (3, "漢" * MAX_BYTES), (4, "😀" * MAX_BYTES)):
        long, _ = identify_languages(*pack([f"a{text}", text]))
        kept = f"a{text}".encode()[:MAX_BYTES].decode("utf-8", errors="ignore"), text[: MAX_BYTES // width]
        assert long == identify_languages(*pack(kept), max_bytes=None)[0]
    assert identify_languages(*pack([SENTENCES[0] + SENTENCES[5] * 400]), max_bytes=56)[0] == ["en"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*SENTENCES, "", " ", "123"]), max_size=6))
def test_a_batch_is_told_as_its_texts_are(texts: list[str]) -> None:
    codes, confidences = identify_languages(*pack(texts))
    alone = [identify_languages(*pack([text])) for text in texts]
    assert codes == [code for [code], _ in alone]
    assert np.array_equal(confidences, np.array([confidence for _, [confidence] in alone], np.float32))


def test_texts_without_anything_known_have_no_language() -> None:
    codes, confidences = identify_languages(*pack(["", "\n"]))
    assert codes == ["", ""]
    assert confidences.tolist() == [0.0, 0.0]


def test_an_unknown_language_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(InputError, match=r"language qq\. Known codes: ace, af,"):
        load_model(("en", "qq"))
