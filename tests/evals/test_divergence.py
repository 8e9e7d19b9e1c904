"""The distance of two models is what its formulas say on their logits, and nothing between a model and itself."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bise.errors import InputError
from bise.evals.divergence import measure_divergence
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import write_tekken
from bise.tokenizer.training import train_vocabulary
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from bise.weights.spec import read_spec
from tests.random_models import random_tensors, write_model
from tests.speaking_model import write_speaking_model
from tests.weights.formats.logits import our_logits

TEXTS = ["The wind comes over the lake.", "Größe und Süße, Ça va? " * 40, "", "In the morning 🪿 Добро"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    exact = write_speaking_model(root / "exact")
    paths = {"exact": exact}
    for bits in (8, 4):
        paths[str(bits)] = root / str(bits)
        quantise_directory(exact, root / str(bits), bits)
        shutil.copy(exact / "tekken.json", root / str(bits))
    spec = read_spec(exact)
    paths["other floats"] = write_model(root / "other", spec, random_tensors(spec, seed=1))
    shutil.copy(exact / "tekken.json", root / "other")
    return paths


def test_a_model_is_as_far_from_itself_as_nothing(models: dict[str, Path]) -> None:
    found = measure_divergence(models["4"], models["4"], TEXTS)
    for estimate in (found.kl_nats, found.kl_nats_p99, found.bits_per_byte_difference):
        assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.0)
    assert (found.same_best.value, found.num_texts, found.kl_nats.num_items) == (1.0, 3, 3)


def test_fewer_bits_are_further_away(models: dict[str, Path]) -> None:
    near, far = (measure_divergence(models["exact"], models[bits], TEXTS) for bits in ("8", "4"))
    assert 0 < near.kl_nats.value < far.kl_nats.value < far.kl_nats_p99.value
    assert far.kl_nats.low <= far.kl_nats.value <= far.kl_nats.high
    assert near.same_best.value >= far.same_best.value


def test_figures_are_their_definitions(models: dict[str, Path]) -> None:
    text = TEXTS[0]
    pair = models["exact"], models["other floats"]
    found = measure_divergence(*pair, [text])
    tokenizer = ChatTokenizer.load(models["exact"])
    ids = tokenizer.begin(tokenizer.encode(text))
    logits = [our_logits(open_weights(path), ids).astype(np.float64)[:-1] for path in pair]
    p, q = (np.exp(each) / np.exp(each).sum(axis=1, keepdims=True) for each in logits)
    rows, size = np.arange(len(ids) - 1), len(text.encode())
    assert (found.num_bytes, found.num_tokens) == (size, len(rows))
    assert found.kl_nats.value == pytest.approx((p * np.log(p / q)).sum(axis=1).mean(), rel=1e-3)
    assert found.same_best.value == (p.argmax(axis=1) == q.argmax(axis=1)).mean()
    bits = [-np.log2(each[rows, ids[1:]]).sum() / size for each in (p, q)]
    assert found.bits_per_byte == pytest.approx(bits, rel=1e-4)
    assert found.bits_per_byte_difference.value == pytest.approx(bits[1] - bits[0], rel=1e-3)


def test_the_order_of_texts_does_not_matter(models: dict[str, Path]) -> None:
    found, turned = (measure_divergence(models["exact"], models["4"], texts) for texts in (TEXTS, TEXTS[::-1]))
    assert found.kl_nats == turned.kl_nats
    assert found.kl_nats_p99 == turned.kl_nats_p99
    assert found.bits_per_byte_difference == turned.bits_per_byte_difference


def test_other_vocabularies_and_empty_texts_are_refused(models: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(models["4"], other)
    write_tekken(
        train_vocabulary(
            ["Other words make other tokens, and as many of them: Größe, Süße, gęś, Ça va? Добро"] * 9, 320
        ),
        other / "tekken.json",
    )
    with pytest.raises(InputError, match="different vocabularies"):
        measure_divergence(models["4"], other, TEXTS)
    with pytest.raises(InputError, match="no text"):
        measure_divergence(models["4"], models["4"], ["", ""])
