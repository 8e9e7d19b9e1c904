"""Small adapters with random weights, written as peft writes them, and models with one added to their weights."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.weights.adapter import ADAPTER_FILE, AdapterSpec, possible_targets, tensor_name, write_config
from bise.weights.spec import ModelSpec
from bise.weights.tensor_file import write_tensors


def adapter_tensors(spec: AdapterSpec, model: ModelSpec, seed: int = 0, size: float = 1.0) -> dict[str, Any]:
    """Values at which an adapter changes every logit, `size` times as large."""
    random = np.random.default_rng(seed)
    return {
        name: (random.standard_normal(shape) * np.sqrt(size) / np.sqrt(shape[1])).astype(np.float32)
        for name, shape in spec.tensor_shapes(model).items()
    }


def write_adapter(
    directory: Path,
    model: ModelSpec,
    *,
    rank: int = 4,
    alpha: float = 8,
    targets: tuple[str, ...] | None = None,
    seed: int = 0,
    size: float = 1.0,
) -> Path:
    """Write an adapter's directory, of all targets that it can have; `size` 0 makes one that changes nothing."""
    spec = AdapterSpec(rank, alpha, targets or possible_targets(model))
    write_config(directory, spec)
    tensors = adapter_tensors(spec, model, seed, size)
    write_tensors(directory / ADAPTER_FILE, {name: ("F32", value) for name, value in tensors.items()})
    return directory


def merge(
    weights: dict[str, NDArray[np.float32]], model: ModelSpec, *adapters: tuple[AdapterSpec, dict[str, Any]]
) -> dict[str, NDArray[np.float32]]:
    """A model's float weights with adapters added."""
    merged = dict(weights)
    for spec, tensors in adapters:
        for matrix in spec.matrices(model.num_layers):
            a, b = tensors[tensor_name(matrix, "A")], tensors[tensor_name(matrix, "B")]
            merged[f"{matrix}.weight"] = merged[f"{matrix}.weight"] + np.float32(spec.scale) * b @ a
    return merged
