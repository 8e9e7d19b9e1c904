"""The comparison of a rounded model with its original is what its formula says on their logits."""

from pathlib import Path

import numpy as np
import pytest

from bise.engine.agreement import WINDOW, measure_agreement
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.errors import InputError
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from tests.random_models import TINY, write_model
from tests.weights.formats.logits import our_logits

IDS = np.random.default_rng(0).integers(0, TINY.vocab_size, 100).tolist()


def test_a_model_agrees_with_itself(tmp_path: Path) -> None:
    weights = open_weights(write_model(tmp_path / "float", TINY))
    told: list[tuple[int, int]] = []
    found = measure_agreement(weights, weights, IDS * 3, NUMPY_KERNELS, lambda *done: told.append(done))
    assert (found.kl_nats, found.same_best, found.num_tokens) == (0.0, 1.0, 300)
    assert told == [(WINDOW, 300), (300, 300)]


def test_fewer_bits_agree_less_and_the_figure_is_the_definition(tmp_path: Path) -> None:
    exact = open_weights(write_model(tmp_path / "float", TINY))
    found = {}
    for bits in (4, 8):
        quantise_directory(tmp_path / "float", tmp_path / str(bits), bits)
        found[bits] = measure_agreement(exact, open_weights(tmp_path / str(bits)), IDS, NUMPY_KERNELS)
    assert 0 < found[8].kl_nats < found[4].kl_nats
    assert found[8].same_best >= found[4].same_best
    pair = [our_logits(weights, IDS).astype(np.float64) for weights in (exact, open_weights(tmp_path / "8"))]
    p, q = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in pair)
    assert found[8].kl_nats == pytest.approx((p * np.log(p / q)).sum(axis=1).mean(), rel=1e-3)
    assert found[8].same_best == (p.argmax(axis=1) == q.argmax(axis=1)).mean()


def test_a_text_of_nothing_is_refused(tmp_path: Path) -> None:
    weights = open_weights(write_model(tmp_path / "float", TINY))
    with pytest.raises(InputError, match="has 1 tokens"):
        measure_agreement(weights, weights, [3], NUMPY_KERNELS)
