"""On a trained model, rounding to 4 bits moves the next-token distributions less than llama.cpp's Q4_0 does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quantisation_quality import WINDOW, divergence, log_probabilities, read_windows
from bise.engine.agreement import measure_agreement
from bise.engine.batch import Batch
from bise.engine.cache import KVCache
from bise.engine.forward import Model
from bise.engine.kernels.table import BLOCK, choose_kernels
from bise.engine.moments import measure_moments
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import open_weights
from bise.weights.quantise import SEARCHED, Scales, convert, quantise
from bise.weights.store import shipped_directory
from bise.weights.tensors import dequantise
from tests.random_models import TINY, random_tensors, write_model
from tests.weights.test_int4 import q4_0

TEXTS = sorted((Path(__file__).parents[1] / "data/raw").glob("??.jsonl"))


def engine_log_probabilities(directory: Path, ids: np.ndarray) -> np.ndarray:
    """What the engine says of one window, with float weights and activations."""
    model = Model(open_weights(directory), choose_kernels().kernels, num_threads=1)
    places = np.arange(len(ids), dtype=np.int32)
    blocks = np.arange(len(ids) // BLOCK, dtype=np.int32)[None]
    batch = Batch(ids.astype(np.int32), places, np.zeros_like(places), places, blocks, np.arange(len(ids)))
    logits = model.forward(batch, KVCache(model.spec, blocks.size, "fp32")).astype(np.float64)
    model.close()
    logits -= logits.max(axis=1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_the_benchmark_computes_what_the_engine_computes(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    ids = np.random.default_rng(0).integers(0, TINY.vocab_size, 48)
    ours = engine_log_probabilities(write_model(tmp_path, TINY, tensors), ids)
    np.testing.assert_allclose(log_probabilities(TINY, tensors, ids), ours, atol=1e-3)


@pytest.mark.slow
def test_four_bits_are_no_worse_than_q4_0_on_the_shipped_model(tmp_path: Path) -> None:
    weights = open_weights(shipped_directory())
    spec = replace(weights.spec, quantisation=None)
    exact = {name: weights.tensor(name) for name in spec.tensor_shapes()}
    layers = {name: tensor for name, tensor in exact.items() if name.startswith("layers.") and tensor.ndim == 2}
    formats = {
        "exact": {},
        "ours": {name: dequantise(quantise(tensor, 4)) for name, tensor in layers.items()},
        "theirs": {name: q4_0(tensor.reshape(-1, 32)).reshape(tensor.shape) for name, tensor in layers.items()},
    }
    windows = read_windows(TEXTS, ChatTokenizer.load(shipped_directory() / "tekken.json"), 4)
    found = {
        name: [engine_log_probabilities(write_model(tmp_path / name, spec, exact | rounded), w) for w in windows]
        for name, rounded in formats.items()
    }
    lost = {
        name: np.mean([divergence(p, q) for p, q in zip(found["exact"], found[name], strict=True)])
        for name in ("ours", "theirs")
    }
    assert windows.shape[1] == WINDOW
    assert 0 < lost["ours"] <= lost["theirs"]


@pytest.mark.slow
def test_calibrating_on_such_text_costs_the_shipped_model_less(tmp_path: Path) -> None:
    """Calibrated on some documents, compared on others."""
    shipped, kernels = open_weights(shipped_directory()), choose_kernels().kernels
    spec = replace(shipped.spec, quantisation=None)
    write_model(tmp_path / "exact", spec, {name: shipped.tensor(name) for name in spec.tensor_shapes()})
    exact = open_weights(tmp_path / "exact")
    windows = read_windows(TEXTS, ChatTokenizer.load(shipped_directory() / "tekken.json"), 30)
    known, held_out = windows[0::3].reshape(-1).tolist(), windows[1::3].reshape(-1).tolist()
    lost = {}
    for kind, scales in (("searched", SEARCHED), ("known", Scales(moments=measure_moments(exact, known, kernels)))):
        convert(exact, tmp_path / kind, "4", scales=scales)
        lost[kind] = measure_agreement(exact, open_weights(tmp_path / kind), held_out, kernels)
    assert 0 < lost["known"].kl_nats < 0.9 * lost["searched"].kl_nats
