"""One optimisation step: the loss is summed over all targets of the batch and divided by their number once.

Means of microbatch means would weigh a target by how few stand beside it; sums make the gradient the same for any
split of the batch.
"""

import contextlib
import time
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from bise.model.transformer import Transformer
from bise.train.packing import IGNORED, Batch

Precision = Literal["bf16", "f32"]
Forward = Callable[[Tensor, Tensor], Tensor]  # ids [B, T], documents [B, T] -> logits [B, T, V]
Measures = dict[str, float]  # "loss", and what else an objective tells of a step


class Objective(Protocol):
    """What a run descends: the next token for most, preferences for some."""

    def __call__(self, forward: Forward, batch: Batch, microbatch_rows: int, precision: Precision) -> Measures:
        """Add the gradient of the whole batch, a few rows at a time, and tell its measures."""


def loss_sum(forward: Forward, batch: Batch, precision: Precision) -> Tensor:
    """Cross-entropy in nats, summed over the targets that carry loss."""
    return target_losses(forward, batch, precision).sum()


def target_losses(forward: Forward, batch: Batch, precision: Precision) -> Tensor:
    """Cross-entropy in nats of every target [B * T]; 0 where ignored. They are where the batch is."""
    device = forward.device if isinstance(forward, Transformer) else batch.inputs_BT.device
    there = batch.to(device)
    with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else contextlib.nullcontext():
        logits_BTV = forward(there.inputs_BT, there.documents_BT)
    losses = functional.cross_entropy(
        logits_BTV.flatten(0, 1).float(), there.targets_BT.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return losses.to(batch.inputs_BT.device)


def accumulate_gradient(forward: Forward, batch: Batch, microbatch_rows: int, precision: Precision) -> float:
    """Add the gradient of the batch's mean loss, a few rows at a time.

    Returns:
        The mean loss in nats per target.
    """
    num_targets = max(1, batch.num_targets)
    total = 0.0
    for part in batch.split(microbatch_rows):
        loss = loss_sum(forward, part, precision) / num_targets
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.item()
    return total


def next_token(forward: Forward, batch: Batch, microbatch_rows: int, precision: Precision) -> Measures:
    """The objective of pretraining and supervised tuning: mean cross-entropy in nats per target."""
    return {"loss": accumulate_gradient(forward, batch, microbatch_rows, precision)}


def faster_precision(device: str = "cpu") -> Precision:
    """Measure which precision multiplies matrices faster on this machine.

    bfloat16 is twice as fast as float32 with AVX512-BF16 or AMX, and fifty times slower where it is emulated. Graphics
    cards say it themselves.
    """
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "f32"
    seconds = {name: _matmul_seconds(dtype) for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16))}
    return "bf16" if seconds["bf16"] < seconds["f32"] else "f32"


def _matmul_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 512, dtype=dtype)
    best = float("inf")
    for _ in range(4):
        started = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - started)
    return best
