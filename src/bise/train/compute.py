"""How much arithmetic training takes, and how much of what the machine can do was used.

A matrix product of N weights costs 2 N operations a token forward and 4 N backward; a token attends to half of its
window on average, which costs 6 * layers * window * heads * head_dim in all. Norms, softmax and the optimiser are left
out, as is customary (arXiv 2204.02311, appendix B, halved for causal attention).
"""

import json
import os
import time
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from bise.errors import InputError
from bise.model.transformer import Transformer
from bise.runs import RunDirectory, write_atomically
from bise.train.checkpoint import BEGUN
from bise.train.recipe import LoopRecipe
from bise.train.step import Precision, faster_precision
from bise.weights.spec import ModelSpec

_PROBE_SIZE = 1024
_GPU_PROBE_SIZE = 8192
_PROBE_SECONDS = 0.25
_MANY_BYTES = 1e9


def num_matrix_weights(spec: ModelSpec) -> int:
    """Weights that are multiplied by every token: the blocks' matrices and the output."""
    shapes = spec.tensor_shapes()
    blocks = sum(rows[0] * rows[1] for name, rows in shapes.items() if name.startswith("layers.") and len(rows) == 2)
    return blocks + spec.vocab_size * spec.hidden_size


def flops_per_token(spec: ModelSpec, row_length: int, *, only_adapter: bool = False) -> float:
    """Floating-point operations to learn from one token of windows of `row_length` tokens.

    Frozen weights need no gradient of their own: 2 N operations backward. An adapter's own are too few to count.
    """
    attention = 6 * spec.num_layers * row_length * spec.num_heads * spec.head_dim
    return (4 if only_adapter else 6) * num_matrix_weights(spec) + attention


def activation_bytes(spec: ModelSpec, num_rows: int, row_length: int) -> float:
    """Roughly what all blocks keep for their gradient, in bfloat16: the stream four times, each wide product, all scores."""
    per_token = 16 * spec.hidden_size + 8 * spec.ffn_size + 2.5 * spec.num_heads * row_length
    return spec.num_layers * num_rows * row_length * per_token


def should_recompute(model: Transformer, loop: LoopRecipe, row_length: int) -> bool:
    """Whether blocks are computed again for their gradient: where the recipe says so, or where it was made to save memory."""
    if loop.recompute != "auto":
        return loop.recompute
    kept = activation_bytes(model.spec, loop.microbatch_rows, row_length)
    return model.spec.quantisation is not None and kept > _MANY_BYTES


def peak_flops(precision: Precision, device: str) -> float:
    """What a large matrix product reaches here, in operations a second: the best of a quarter of a second."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    size = _PROBE_SIZE if device == "cpu" else _GPU_PROBE_SIZE
    left = right = torch.ones(size, size, dtype=dtype, device=device)
    best, until = float("inf"), time.perf_counter() + _PROBE_SECONDS
    while (started := time.perf_counter()) < until or best == float("inf"):
        left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return float(2 * size**3 / best)


@dataclass(frozen=True)
class Speed:
    """What the machine does, measured once for each run, so that a run that goes on is the same run."""

    device: Literal["cpu", "cuda"]
    precision: Precision
    peak_flops: float  # operations a second of a large matrix product in that precision


def measured_speed(run: RunDirectory, loop: LoopRecipe) -> Speed:
    """Measure the machine until a run has begun; read what was measured then at later starts."""
    path = run.path / "speed.json"
    torch.set_num_threads(loop.threads or os.cpu_count() or 1)
    if not path.exists() or not (run.path / BEGUN).exists():
        write_atomically(path, json.dumps(asdict(_measure(loop))) + "\n")
    try:
        speed = Speed(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is damaged: {error}. Delete {run.path} and begin again.") from None
    if speed.device == "cuda" and not torch.cuda.is_available():
        raise InputError(
            f"{run.path} was begun on a CUDA device and there is none here. Go on where it was begun, or choose another "
            "name with --set name=…."
        )
    return speed


def _measure(loop: LoopRecipe) -> Speed:
    has_cuda = torch.cuda.is_available()
    if loop.device == "cuda" and not has_cuda:
        raise InputError("loop.device is cuda, but PyTorch finds no CUDA device here. Set loop.device=cpu or auto.")
    device: Literal["cpu", "cuda"] = "cuda" if has_cuda and loop.device != "cpu" else "cpu"
    precision = faster_precision(device) if loop.precision == "auto" else loop.precision
    return Speed(device, precision, peak_flops(precision, device))
