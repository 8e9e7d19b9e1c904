"""Muon for the matrices of the blocks, AdamW for embeddings, output, norms and adapters; frozen weights stay.

Muon (K. Jordan, 2024, https://kellerjordan.github.io/posts/muon/) orthogonalises each matrix's momentum by
Newton-Schulz iterations; the update is scaled to the root mean square of AdamW's (arXiv 2502.16982), so that one
learning rate suits any shape. `torch.optim.Muon` iterates in bfloat16, which processors without bfloat16 units
emulate some fifty times more slowly than float32, and one matrix at a time; here the precision is the run's, and all
matrices of one shape go together.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bise.train.recipe import OptimizerRecipe
from bise.train.step import Precision

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # steepest slope at zero; singular values end in 0.7..1.2
_NEWTON_SCHULZ_STEPS = 5
_MOMENTUM = 0.95
_BETAS = (0.9, 0.95)
_UPDATE_RMS = 0.2


class Optimizer:
    """The optimiser's state: momentum of the matrices, AdamW's moments of the rest."""

    def __init__(self, model: nn.Module, recipe: OptimizerRecipe, precision: Precision) -> None:
        """Begin with empty state; `precision` is that of Newton-Schulz, all else is float32."""
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._recipe = recipe
        self._dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self._matrices = {n: p for n, p in parameters.items() if p.dim() == 2 and _is_matrix(n)}
        self._others = {n: p for n, p in parameters.items() if n not in self._matrices}
        self._momentum = {name: torch.zeros_like(p) for name, p in self._matrices.items()}
        self._adamw = torch.optim.AdamW(self._others.values(), betas=_BETAS, weight_decay=0.0, fused=True)
        self._shapes: dict[torch.Size, list[str]] = {}
        for name, parameter in self._matrices.items():
            self._shapes.setdefault(parameter.shape, []).append(name)

    @torch.no_grad()
    def step(self, factor: float) -> None:
        """Update every parameter from its gradient, at `factor` times the recipe's rates, and clear the gradients."""
        for names in self._shapes.values():
            self._step_matrices(names, self._recipe.matrix_learning_rate * factor)
        for group in self._adamw.param_groups:
            group["lr"] = self._recipe.embedding_learning_rate * factor
        self._adamw.step()
        for parameter in (*self._matrices.values(), *self._others.values()):
            parameter.grad = None

    def state_tensors(self) -> dict[str, Tensor]:
        """All state by name, for a checkpoint."""
        tensors = {f"muon.momentum.{name}": tensor for name, tensor in self._momentum.items()}
        for name, parameter in self._others.items():
            for key, tensor in self._adamw.state.get(parameter, {}).items():
                tensors[f"adamw.{key}.{name}"] = tensor
        return tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the state of a checkpoint."""
        for name, momentum in self._momentum.items():
            momentum.copy_(tensors[f"muon.momentum.{name}"])
        for name, parameter in self._others.items():
            keys = [key for key in ("step", "exp_avg", "exp_avg_sq") if f"adamw.{key}.{name}" in tensors]
            self._adamw.state[parameter] = {
                key: tensors[f"adamw.{key}.{name}"].to(parameter.device, copy=True) for key in keys
            }

    def _step_matrices(self, names: list[str], learning_rate: float) -> None:
        parameters: list[Tensor] = [self._matrices[name] for name in names]
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        assert len(gradients) == len(names), f"one of {', '.join(names)} has no gradient"
        momenta = [self._momentum[name] for name in names]
        torch._foreach_lerp_(momenta, gradients, 1 - _MOMENTUM)
        nesterov = torch.stack(torch._foreach_lerp(gradients, momenta, _MOMENTUM))
        updates = orthogonalise(nesterov.to(self._dtype)).float()
        scale = _UPDATE_RMS * math.sqrt(max(updates.shape[-2:]))
        torch._foreach_mul_(parameters, 1 - learning_rate * self._recipe.weight_decay)
        torch._foreach_add_(parameters, list(updates), alpha=-learning_rate * scale)


def _is_matrix(name: str) -> bool:
    """Whether a parameter of two dimensions is a matrix of a block, and no part of an adapter."""
    return name.startswith("layers.") and name.endswith(".weight")


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrix of each, roughly: singular values come out between 0.7 and 1.2."""
    a, b, c = _NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp(min=1e-7)
    for _ in range(_NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    out: Tensor = x.mT if tall else x
    return out


def schedule(step: int, num_steps: int, recipe: OptimizerRecipe) -> float:
    """Warm up, stay, decay linearly: the factor on the learning rates of a step, above 0 and at most 1."""
    warm_up = max(1.0, recipe.warm_up_fraction * num_steps)
    decay = max(1.0, recipe.decay_fraction * num_steps)
    return min(1.0, (step + 1) / warm_up, (num_steps - step) / decay)
