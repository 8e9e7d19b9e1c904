"""Cross-entropy of next tokens without the logits of a whole batch, which would be its largest tensor by far.

The logits of some rows at a time become their own gradient (softmax minus one-hot) while they are there. An output that does
not learn, as beside an adapter, needs nothing more; for one that does, these gradients are kept, in the products' type.

Shape suffixes: N rows, D hidden size, V vocabulary.
"""

from typing import Any

import torch
from torch import Tensor

from bise.model.attention import product_dtype

_ROWS = {"cpu": 512, "cuda": 4096}  # at a time


def cross_entropy(states_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
    """Minus the log-probability, in nats, of each target [N], float32.

    Args:
        states_ND: what the output is multiplied with.
        head_VD: the output's weights.
        targets_N: int64, 0..V-1.
    """
    losses_N: Tensor = _CrossEntropy.apply(states_ND, head_VD, targets_N)  # type: ignore[no-untyped-call]
    return losses_N


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states_ND: Tensor, head_VD: Tensor, targets_N: Tensor) -> Tensor:
        dtype, rows = product_dtype(states_ND), _ROWS[states_ND.device.type]
        states, head = states_ND.to(dtype), head_VD.to(dtype)
        states_learn, head_learns, _ = ctx.needs_input_grad
        losses_N = torch.empty(len(states), dtype=torch.float32, device=states.device)
        slopes_NV = states.new_empty(len(states), len(head)) if head_learns else None
        slopes_ND = torch.empty_like(states) if states_learn else None
        for start in range(0, len(states), rows):
            part = slice(start, start + rows)
            targets_N1 = targets_N[part].unsqueeze(1)
            logits_NV = (states[part] @ head.T).float()
            shares_NV = torch.softmax(logits_NV, dim=-1)
            losses_N[part] = _losses(logits_NV, shares_NV, targets_N1)
            if states_learn or head_learns:
                slopes = _minus_one_hot(shares_NV, targets_N1).to(dtype)
            if slopes_NV is not None:
                slopes_NV[part] = slopes
            if slopes_ND is not None:
                slopes_ND[part] = slopes @ head
        ctx.save_for_backward(states, slopes_ND, slopes_NV)
        ctx.dtypes = states_ND.dtype, head_VD.dtype
        return losses_N

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        states, slopes_ND, slopes_NV = ctx.saved_tensors
        weights_N1 = gradients[0].unsqueeze(1)
        states_dtype, head_dtype = ctx.dtypes
        for_states = None if slopes_ND is None else (slopes_ND * weights_N1).to(states_dtype)
        for_head = None if slopes_NV is None else (slopes_NV.T @ (states * weights_N1).to(states.dtype)).to(head_dtype)
        return for_states, for_head, None


def _losses(logits_NV: Tensor, shares_NV: Tensor, targets_N1: Tensor) -> Tensor:
    """Minus the logarithms of the targets' shares, from the logits: a small share is rounded to few digits, or to none.

    The largest share is one over the softmax's denominator, so that no exponential is computed a second time.
    """
    largest_N1, largest_share_N1 = logits_NV.amax(-1, keepdim=True), shares_NV.amax(-1, keepdim=True)
    return (largest_N1 - largest_share_N1.log() - logits_NV.gather(1, targets_N1)).squeeze(1)


def _minus_one_hot(shares_NV: Tensor, targets_N1: Tensor) -> Tensor:
    return shares_NV.scatter_add_(1, targets_N1, -torch.ones_like(targets_N1, dtype=shares_NV.dtype))
