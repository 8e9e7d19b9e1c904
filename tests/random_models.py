"""Small models with random weights, written as model directories."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.weights.rope import RopeScaling
from bise.weights.spec import ModelSpec, write_spec
from bise.weights.tensor_file import write_tensors

TINY = ModelSpec(
    vocab_size=97,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    ffn_size=96,
    context_length=64,
)
SHAPES = {
    "plain": replace(TINY, num_kv_heads=4),
    "grouped, tied": replace(TINY, tied_embeddings=True),
    "sliding window": replace(TINY, sliding_window=9),
    "one key/value head, wide heads": replace(TINY, num_kv_heads=1, head_dim=48, rope_theta=1e6),
    "biases, windows in some layers": replace(
        TINY, attention_bias=True, num_layers=3, sliding_window=9, full_attention_layers=(1,)
    ),
    "head norms, llama3 frequencies": replace(
        TINY, qk_norm=True, rope_scaling=RopeScaling("llama3", factor=8.0, original_context=24)
    ),
    "an unrotated layer, growing queries, yarn": replace(
        TINY,
        unrotated_layers=(1,),
        rope_scaling=RopeScaling("yarn", 4.0, original_context=16, attention_factor=1.1, query_beta=0.3),
    ),
    "experts": replace(TINY, num_experts=5, experts_per_token=2),
    "one of three experts, tied, odd sizes": replace(
        TINY, num_experts=3, experts_per_token=1, tied_embeddings=True, hidden_size=96, ffn_size=160
    ),
    "nothing a multiple of 16": replace(TINY, hidden_size=52, num_heads=3, num_kv_heads=1, head_dim=10, ffn_size=75),
}


def random_tensors(spec: ModelSpec, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Weights of a size at which every part of the model matters to the logits."""
    random = np.random.default_rng(seed)
    tensors = {}
    for name, shape in spec.tensor_shapes().items():
        if len(shape) == 1:
            tensors[name] = random.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            tensors[name] = (random.standard_normal(shape) * 2 / np.sqrt(shape[1])).astype(np.float32)
    return tensors


def write_model(directory: Path, spec: ModelSpec, tensors: dict[str, Any] | None = None) -> Path:
    """Write a float32 model directory."""
    directory.mkdir(parents=True, exist_ok=True)
    write_spec(directory, spec)
    tensors = random_tensors(spec) if tensors is None else tensors
    write_tensors(directory / "model.safetensors", {name: ("F32", value) for name, value in tensors.items()})
    return directory
