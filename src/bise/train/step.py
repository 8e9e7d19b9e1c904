"""One optimisation step: the loss is summed over all targets of the batch and divided by their number once.

Means of microbatch means would weigh a target by how few stand beside it; sums make the gradient the same for any
split of the batch.
"""

import contextlib
import time
from typing import Literal, Protocol

import torch
from torch import Tensor

from bise.model.cross_entropy import cross_entropy
from bise.model.transformer import Transformer
from bise.train.packing import IGNORED, Batch

Precision = Literal["bf16", "f32"]
Measures = dict[str, float]  # "loss", and what else an objective tells of a step
_TRIES = 8  # of each precision


class Objective(Protocol):
    """What a run descends: the next token for most, preferences for some."""

    def __call__(self, model: Transformer, batch: Batch, microbatch_rows: int, precision: Precision) -> Measures:
        """Add the gradient of the whole batch, a few rows at a time, and tell its measures."""


def loss_sum(model: Transformer, batch: Batch, precision: Precision) -> Tensor:
    """Cross-entropy in nats, summed over the targets that carry loss."""
    return target_losses(model, batch, precision).sum()


def target_losses(model: Transformer, batch: Batch, precision: Precision) -> Tensor:
    """Cross-entropy in nats of every target [B * T]; 0 where ignored. They are where the batch is."""
    there = batch.to(model.device)
    targets = there.targets_BT.flatten()
    learned_N = (targets != IGNORED).nonzero().squeeze(1)
    with torch.autocast(model.device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext():
        states_BTD = model.states(there.inputs_BT, there.documents_BT)
        losses_N = cross_entropy(states_BTD.flatten(0, 1)[learned_N], model.head, targets[learned_N])
    losses = torch.zeros(targets.shape, device=model.device).index_copy(0, learned_N, losses_N)
    return losses.to(batch.inputs_BT.device)


def accumulate_gradient(model: Transformer, batch: Batch, microbatch_rows: int, precision: Precision) -> float:
    """Add the gradient of the batch's mean loss, a few rows at a time.

    Returns:
        The mean loss in nats per target.
    """
    num_targets = max(1, batch.num_targets)
    total = 0.0
    for part in batch.split(microbatch_rows):
        loss = loss_sum(model, part, precision) / num_targets
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def next_token(model: Transformer, batch: Batch, microbatch_rows: int, precision: Precision) -> Measures:
    """The objective of pretraining and supervised tuning: mean cross-entropy in nats per target."""
    return {"loss": accumulate_gradient(model, batch, microbatch_rows, precision)}


def faster_precision(device: str = "cpu") -> Precision:
    """Measure which precision multiplies matrices faster on this machine.

    bfloat16 is twice as fast as float32 with AVX512-BF16 or AMX, and fifty times slower where it is emulated. Graphics
    cards say it themselves.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    best: dict[Precision, float] = {"f32": float("inf"), "bf16": float("inf")}
    for _ in range(_TRIES):  # in turns, so that other work on the machine for a moment is no argument
        best["f32"] = min(best["f32"], _matmul_seconds(torch.float32))
        best["bf16"] = min(best["bf16"], _matmul_seconds(torch.bfloat16))
    return "bf16" if best["bf16"] < best["f32"] else "f32"


def _matmul_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(512, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    started = time.perf_counter()
    left @ right
    return time.perf_counter() - started
