"""On a trained model, rounding to 4 bits moves the next-token distributions less than llama.cpp's Q4_0 does."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.quantisation_quality import divergence, log_probabilities, read_windows
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import dequantise, open_weights
from bise.weights.quantise import quantise
from bise.weights.store import shipped_directory
from tests.weights.test_int4 import q4_0

TEXTS = sorted((Path(__file__).parents[1] / "data/raw").glob("??.jsonl"))


def test_four_bits_are_no_worse_than_q4_0_on_the_shipped_model() -> None:
    weights = open_weights(shipped_directory())
    spec = replace(weights.spec, quantisation=None)
    exact = {name: weights.tensor(name) for name in spec.tensor_shapes()}
    layers = {name: tensor for name, tensor in exact.items() if name.startswith("layers.") and tensor.ndim == 2}
    ours = exact | {name: dequantise(quantise(tensor, 4)) for name, tensor in layers.items()}
    theirs = exact | {name: q4_0(tensor.reshape(-1, 32)).reshape(tensor.shape) for name, tensor in layers.items()}
    lost = {"ours": 0.0, "theirs": 0.0}
    for window in read_windows(TEXTS, ChatTokenizer.load(shipped_directory() / "tekken.json"), 4):
        reference = log_probabilities(spec, exact, window)
        for who, tensors in (("ours", ours), ("theirs", theirs)):
            lost[who] += divergence(reference, log_probabilities(spec, tensors, window))
    assert 0 < lost["ours"] <= lost["theirs"]
    assert np.isfinite(lost["theirs"])
