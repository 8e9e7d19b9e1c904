"""The second moments that calibration collects are those of what each product is given."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.engine.agreement import WINDOW
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.engine.kernels.table import choose_kernels
from bise.engine.moments import measure_moments
from bise.errors import InputError
from bise.weights.files import open_weights
from tests.random_models import TINY, write_model

IDS = np.random.default_rng(0).integers(0, TINY.vocab_size, WINDOW + 40).tolist()


def outer_squares(x_TK: np.ndarray) -> np.ndarray:
    x_TGJ = x_TK.reshape(len(x_TK), -1, 32)
    return np.einsum("tgi,tgj->gij", x_TGJ, x_TGJ) / len(x_TK)


@pytest.mark.parametrize("is_tied", [False, True])
def test_the_first_product_is_given_the_normed_embeddings(tmp_path: Path, is_tied: bool) -> None:
    weights = open_weights(write_model(tmp_path, replace(TINY, tied_embeddings=is_tied)))
    told: list[tuple[int, int]] = []
    found = measure_moments(weights, IDS, NUMPY_KERNELS, lambda *done: told.append(done))
    matrices = {name for name, shape in weights.spec.tensor_shapes().items() if len(shape) == 2}
    assert found.keys() == matrices - {"tok_embeddings.weight"}
    for name, moments in found.items():
        assert moments.shape == (weights.spec.tensor_shapes()[name][1] // 32, 32, 32)
        assert (np.linalg.eigvalsh(moments) > 0).all()
    embedded = weights.tensor("tok_embeddings.weight")[IDS]
    scale = 1 / np.sqrt((embedded**2).mean(axis=1, keepdims=True) + TINY.norm_eps)
    expected = outer_squares(embedded * scale * weights.tensor("layers.0.attention_norm.weight"))
    expected += 0.01 * np.einsum("gii->g", expected)[:, None, None] / 32 * np.eye(32)
    for name in ("wq", "wk", "wv"):
        np.testing.assert_allclose(found[f"layers.0.attention.{name}.weight"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found["layers.1.feed_forward.w1.weight"], found["layers.1.feed_forward.w3.weight"])
    assert told == [(WINDOW, len(IDS)), (len(IDS), len(IDS))]


def test_compiled_kernels_collect_the_same(tmp_path: Path) -> None:
    weights = open_weights(write_model(tmp_path, TINY))
    one, other = (measure_moments(weights, IDS, kernels) for kernels in (NUMPY_KERNELS, choose_kernels().kernels))
    for name, moments in one.items():
        np.testing.assert_allclose(moments, other[name], rtol=1e-3, atol=1e-4 * np.abs(moments).max())


def test_a_short_text_is_refused(tmp_path: Path) -> None:
    weights = open_weights(write_model(tmp_path, TINY))
    with pytest.raises(InputError, match="has 3 tokens"):
        measure_moments(weights, [1, 2, 3], NUMPY_KERNELS)
