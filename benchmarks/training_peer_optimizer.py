"""The optimiser that both peers are given where the same one is asked for: PyTorch's own Muon, and AdamW for the rest."""

from collections.abc import Callable, Iterable

import torch

_VOCABULARY = 8192  # rows of the embedding, which is no matrix of a block


class MuonAdamW(torch.optim.Optimizer):
    """`torch.optim.Muon` for matrices and fused AdamW for the rest, both at their share of one learning rate."""

    def __init__(self, params: Iterable[torch.nn.Parameter], lr: float = 0.006, embedding_lr: float = 0.004) -> None:
        parameters = list(params)
        super().__init__(parameters, {"lr": lr})
        matrices = [p for p in parameters if p.ndim == 2 and p.shape[0] != _VOCABULARY]
        others = [p for p in parameters if p.ndim != 2 or p.shape[0] == _VOCABULARY]
        self._peak = lr
        self._parts = [
            (torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"), lr),
            (
                torch.optim.AdamW(others, lr=embedding_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
                embedding_lr,
            ),
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step of both."""
        if closure is not None:
            with torch.enable_grad():
                closure()
        for part, peak in self._parts:
            part.param_groups[0]["lr"] = self.param_groups[0]["lr"] / self._peak * peak
            part.step()
