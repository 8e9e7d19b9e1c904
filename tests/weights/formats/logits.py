"""Logits of a model directory by our engine, and by transformers."""

from pathlib import Path

import numpy as np

from bise.engine.batch import Batch
from bise.engine.cache import KVCache
from bise.engine.forward import Model
from bise.engine.kernels.reference import NUMPY_KERNELS
from bise.weights.files import Weights

BLOCKS = 8  # 128 tokens


def our_logits(weights: Weights, ids: list[int]) -> np.ndarray:
    """[len(ids), vocab_size], with float activations."""
    positions = np.arange(len(ids), dtype=np.int32)
    blocks = np.arange(BLOCKS, dtype=np.int32)[None]
    batch = Batch(np.array(ids, np.int32), positions, np.zeros_like(positions), positions, blocks, positions)
    model = Model(weights, NUMPY_KERNELS, num_threads=1, activations="float32")
    return model.forward(batch, KVCache(weights.spec, BLOCKS, "fp32"))


def transformers_logits(directory: Path, ids: list[int]) -> np.ndarray:
    """[len(ids), vocab_size], of the model as transformers loads it, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        return np.asarray(model(torch.tensor([ids])).logits[0].numpy())


def prompt(vocab_size: int, length: int = 40) -> list[int]:
    """Random tokens."""
    return np.random.default_rng(5).integers(0, vocab_size, length).tolist()
