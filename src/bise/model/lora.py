"""Low-rank adapters on the matrices of the blocks (LoRA, arXiv 2106.09685): what `bise tune` trains when it tunes little.

The base stays as it is; each adapted matrix gains `scale * B A`. A begins random and B at zero, so that the adapted
model begins as the base.
"""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from bise.errors import InputError
from bise.model.frozen import FrozenMatrix
from bise.model.transformer import Transformer
from bise.weights.adapter import ADAPTER_FILE, AdapterSpec, check_tensors, read_config, tensor_name, write_config


class AdaptedLinear(nn.Module):
    """A frozen linear layer with an adapter that is trained."""

    def __init__(self, base: nn.Linear | FrozenMatrix, rank: int, scale: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale = scale
        # Uniform within 1 / sqrt(columns), as peft begins.
        self.lora_A = nn.Parameter(torch.empty(rank, base.in_features))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """The base's product and the adapter's."""
        base_out: Tensor = self.base(x)
        low = self.scale * functional.linear(x, self.lora_A)
        return torch.addmm(base_out.flatten(0, -2), low.flatten(0, -2), self.lora_B.T).view(base_out.shape)

    def merged(self) -> Tensor:
        """The weight of one matrix that does the same."""
        return self.base.weight + self.scale * self.lora_B @ self.lora_A


def add_adapter(model: Transformer, spec: AdapterSpec) -> None:
    """Freeze a model and give its matrices adapters that begin without effect, in place."""
    model.requires_grad_(False)
    for matrix in spec.matrices(model.spec.num_layers):
        parent, name = _place(model, matrix)
        base = getattr(parent, name)
        assert isinstance(base, nn.Linear | FrozenMatrix), f"{matrix} has an adapter already"
        setattr(parent, name, AdaptedLinear(base, spec.rank, spec.scale))


def weaken(model: Transformer, strength: float) -> None:
    """Let what adapters add count `strength` times as much as it did, in place."""
    for module in model.modules():
        if isinstance(module, AdaptedLinear):
            module.scale *= strength


def halve_frozen(model: Transformer) -> None:
    """Keep the float matrices that do not learn in bfloat16, as their files do, for training in bfloat16, in place.

    Autocast would round them anew for every batch, and twice the memory would hold nothing more.
    """
    for module in model.modules():
        if isinstance(module, AdaptedLinear) and isinstance(module.base, nn.Linear):
            module.base.to(torch.bfloat16)


@torch.no_grad()
def merged_weights(model: Transformer) -> dict[str, Tensor]:
    """The weights of the same function without an adapter, by canonical name, in bfloat16.

    A quantised base becomes float: its integers have no room for what the adapter adds.
    """
    weights = {}
    for name in model.spec.tensor_shapes():
        path, _, kind = name.rpartition(".")
        module: Any = model.get_submodule(path)
        if isinstance(module, AdaptedLinear):
            weight: Tensor = module.merged() if kind == "weight" else getattr(module.base, kind)
        else:
            weight = getattr(module, kind)
        weights[name] = weight.to(torch.bfloat16)
    return weights


def save_adapter(directory: Path, model: Transformer, spec: AdapterSpec) -> None:
    """Write an adapter in peft's format, in float32."""
    write_config(directory, spec)
    tensors = {}
    for matrix in spec.matrices(model.spec.num_layers):
        adapted = model.get_submodule(matrix)
        assert isinstance(adapted, AdaptedLinear)
        tensors[tensor_name(matrix, "A")] = adapted.lora_A.detach().contiguous()
        tensors[tensor_name(matrix, "B")] = adapted.lora_B.detach().contiguous()
    save_file(tensors, directory / ADAPTER_FILE, metadata={"format": "pt"})


@torch.no_grad()
def load_adapter(directory: Path, model: Transformer) -> AdapterSpec:
    """Give a model the adapter in a directory, in place.

    Raises:
        NotFoundError: there is none.
        InputError: it is damaged, no plain LoRA, or made for a model of another shape.
    """
    spec, path = read_config(directory), directory / ADAPTER_FILE
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path} could not be read: {error}. Make or fetch the adapter again.") from None
    check_tensors({name: tuple(tensor.shape) for name, tensor in tensors.items()}, spec, model.spec, path)
    add_adapter(model, spec)
    for matrix in spec.matrices(model.spec.num_layers):
        adapted = model.get_submodule(matrix)
        assert isinstance(adapted, AdaptedLinear)
        adapted.lora_A.copy_(tensors[tensor_name(matrix, "A")])
        adapted.lora_B.copy_(tensors[tensor_name(matrix, "B")])
    return spec


def _place(model: Transformer, matrix: str) -> tuple[nn.Module, str]:
    parent, _, name = matrix.rpartition(".")
    return model.get_submodule(parent), name
