"""Quantised weights that stay as they are while an adapter beside them learns (QLoRA, arXiv 2305.14314).

A matrix keeps its integers and scales, as the model store has them, and becomes float only while it is multiplied, forward
and again backward: a model takes a tenth of the memory that training all of it would.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bise.model.attention import product_dtype
from bise.model.transformer import Transformer
from bise.weights.files import Weights, open_weights
from bise.weights.int4 import pack_nibbles


class FrozenMatrix(nn.Module):
    """A quantised weight [out_features, in_features] in place of a linear layer or an embedding."""

    values: Tensor  # int8 [out_features, in_features], or uint8 [out_features, in_features / 2] with 4 bits
    scales: Tensor  # float16 [out_features, in_features / group_size]

    def __init__(self, weights: Weights, name: str) -> None:
        super().__init__()
        stored = weights.quantised(name)
        self.out_features, self.in_features = stored.values.shape
        values = pack_nibbles(stored.values) if stored.bits == 4 else stored.values.copy()
        self.bias: nn.Parameter | None = None
        self.register_buffer("values", torch.from_numpy(values), persistent=False)
        self.register_buffer("scales", torch.from_numpy(stored.scales.copy()), persistent=False)

    @property
    def weight(self) -> Tensor:
        """All of it in float32, without a gradient."""
        return _dequantise(self.values, self.scales)

    def forward(self, x: Tensor) -> Tensor:
        """`x @ weight.T + bias`; the gradient reaches x only."""
        out: Tensor = _Product.apply(x, self)  # type: ignore[no-untyped-call]
        return out if self.bias is None else out + self.bias.to(out.dtype)


class FrozenEmbedding(FrozenMatrix):
    """A quantised table of embeddings."""

    def forward(self, ids: Tensor) -> Tensor:
        """The rows of these ids."""
        return _dequantise(self.values[ids.flatten()], self.scales[ids.flatten()]).view(*ids.shape, -1)


class _Product(torch.autograd.Function):
    """A product that remembers the integers for its gradient instead of the floats."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: FrozenMatrix) -> Tensor:
        ctx.matrix = matrix
        ctx.dtype = product_dtype(x)
        return functional.linear(x.to(ctx.dtype), matrix.weight.to(ctx.dtype))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].to(ctx.dtype)
        return gradient @ ctx.matrix.weight.to(ctx.dtype), None


def load_frozen(directory: Path) -> Transformer:
    """Read a quantised model so that adapters can be trained beside its weights.

    Raises:
        InputError: the directory holds no model, or a damaged one.
    """
    weights = open_weights(directory)
    assert weights.spec.quantisation is not None
    with torch.device("meta"):
        model = Transformer(weights.spec)
    for name, shape in weights.spec.tensor_shapes().items():
        path, _, kind = name.rpartition(".")
        parent, _, attribute = path.rpartition(".")
        module = model.get_submodule(parent)
        if len(shape) == 1:
            vector = torch.from_numpy(weights.tensor(name).copy())
            setattr(getattr(module, attribute), kind, nn.Parameter(vector, requires_grad=False))
        else:
            frozen = FrozenEmbedding if name == "tok_embeddings.weight" else FrozenMatrix
            setattr(module, attribute, frozen(weights, name))
    return model


def _dequantise(values: Tensor, scales: Tensor) -> Tensor:
    """Integers times the scale of their group, float32 [rows, columns]."""
    if values.dtype == torch.uint8:
        values = torch.stack((values & 15, values >> 4), dim=-1).flatten(-2).to(torch.int8) - 8
    groups = values.view(*scales.shape, -1).float() * scales.float().unsqueeze(-1)
    return groups.flatten(-2)
