"""The classifier learns what it is shown, the same from the same texts, and says how well on texts it did not see."""

import random
from pathlib import Path

import numpy as np
import pytest

from bise.corpus.quality import WEIGHTS, QualityModel, QualitySettings, measure, train_quality
from bise.corpus.texts import pack
from bise.errors import InputError, NotFoundError

GOOD_WORDS = ["river", "stone", "bread", "morning", "garden", "quiet", "window", "letter", "story", "winter"]
OTHER_WORDS = ["click", "cheap", "buy", "casino", "offer", "winner", "bonus", "deal", "prize", "login"]
SHARED_WORDS = ["the", "a", "of", "and", "to", "in", "is", "it", "on", "with"]


def texts(words: list[str], count: int, seed: int) -> list[str]:
    chooser = random.Random(seed)
    return [" ".join(chooser.choices(words + SHARED_WORDS, k=chooser.randint(20, 60))) for _ in range(count)]


GOOD, OTHERS = texts(GOOD_WORDS, 200, 1), texts(OTHER_WORDS, 300, 2)


@pytest.fixture(scope="module")
def model() -> QualityModel:
    return train_quality(GOOD, OTHERS, QualitySettings(hash_bits=14))


def test_it_learns_what_it_is_shown(model: QualityModel) -> None:
    scores = model.score(*pack([*texts(GOOD_WORDS, 50, 3), *texts(OTHER_WORDS, 50, 4)]))
    assert (scores[:50] > 0.5).all()
    assert (scores[50:] < 0.5).all()
    held_out = model.facts["held_out"]
    assert (held_out["good"], held_out["others"]) == (20, 30)
    assert held_out["ranked_above"] == 1
    assert held_out["thresholds"][4] == {"threshold": 0.5, "precision": 1.0, "recall": 1.0, "others_kept": 0.0}


def test_pairs_of_words_count(model: QualityModel) -> None:
    chooser = random.Random(5)
    good = ["x y " * 5 + chooser.choice("abcdefgh") for _ in range(100)]
    others = ["y y x x " * 3 + chooser.choice("abcdefgh") for _ in range(100)]
    learned = train_quality(good, others, QualitySettings(hash_bits=12, epochs=10))
    scores = learned.score(*pack(["x y x y x y", "y y x x y y x x"]))
    assert scores[0] > 0.5 > scores[1]


def test_the_same_texts_in_any_order_give_the_same_weights(model: QualityModel) -> None:
    again = train_quality(reversed(GOOD), reversed(OTHERS), QualitySettings(hash_bits=14))
    assert again.facts == model.facts
    assert (again.weights == model.weights).all()
    other = train_quality(GOOD, OTHERS, QualitySettings(hash_bits=14, seed=1))
    assert (other.weights != model.weights).any()


def test_a_batch_scores_as_its_texts_do(model: QualityModel) -> None:
    batch = [*GOOD[:5], "", *OTHERS[:5]]
    alone = [model.score(*pack([text]))[0] for text in batch]
    assert model.score(*pack(batch)).tolist() == alone


def test_what_is_saved_is_what_is_loaded(model: QualityModel, tmp_path: Path) -> None:
    model.save(tmp_path / "q")
    loaded = QualityModel.load(tmp_path / "q")
    assert (loaded.bias, loaded.facts) == (model.bias, model.facts)
    assert (loaded.weights == model.weights).all()
    first = (tmp_path / "q" / WEIGHTS).read_bytes()
    model.save(tmp_path / "q")
    assert (tmp_path / "q" / WEIGHTS).read_bytes() == first


def test_a_damaged_or_absent_classifier_is_a_sentence(model: QualityModel, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no quality classifier"):
        QualityModel.load(tmp_path)
    model.save(tmp_path)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:100])
    with pytest.raises(InputError, match="is damaged"):
        QualityModel.load(tmp_path)


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(InputError, match="19 good texts and 300 others"):
        train_quality(GOOD[:19], OTHERS)
    with pytest.raises(InputError, match="200 good texts and 0 others"):
        train_quality(GOOD, ["", " . "] * 20)


def test_measures_are_those_of_their_definitions() -> None:
    scores = np.array([0.95, 0.85, 0.65, 0.45, 0.15], np.float32)
    measured = measure(scores, np.array([True, True, False, True, False]))
    assert measured["thresholds"][5] == {"threshold": 0.6, "precision": 0.6667, "recall": 0.6667, "others_kept": 0.5}
    assert measured["ranked_above"] == round(5 / 6, 4)
