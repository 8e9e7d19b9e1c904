"""Frozen quantised weights compute what their floats would, forward and backward, and take the memory of their integers."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bise.model.files import load_model, save_model
from bise.model.frozen import FrozenMatrix, load_frozen
from bise.model.lora import add_adapter, merged_weights
from bise.model.transformer import Transformer
from bise.weights.adapter import TARGETS, AdapterSpec
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from bise.weights.spec import ModelSpec
from bise.weights.tensor_file import read_safetensors

IDS = torch.arange(24).reshape(2, 12)
ADAPTER = AdapterSpec(rank=4, alpha=8.0, targets=TARGETS)


PLAIN = ModelSpec(64, 64, 2, 4, 2, 16, 96, 64)
TIED = replace(PLAIN, tied_embeddings=True)
BIASED = replace(PLAIN, attention_bias=True, qk_norm=True)
CASES = {"4 bits tied": (4, TIED), "4 bits": (4, PLAIN), "8 bits tied": (8, TIED), "biases, head norms": (4, BIASED)}


@pytest.fixture(params=CASES.values(), ids=list(CASES))
def quantised(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    bits, spec = request.param
    torch.manual_seed(0)
    model = Transformer(spec)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    save_model(tmp_path / "float", model)
    quantise_directory(tmp_path / "float", tmp_path / "quantised", bits)
    return tmp_path / "quantised"


def floats(directory: Path) -> Transformer:
    """The same weights, widened to floats."""
    weights = open_weights(directory)
    model = Transformer(load_model(directory.parent / "float").spec)
    model.load_state_dict(
        {name: torch.from_numpy(weights.tensor(name).copy()) for name in weights.spec.tensor_shapes()}
    )
    return model


def test_logits_equal_those_of_the_floats(quantised: Path) -> None:
    torch.testing.assert_close(load_frozen(quantised)(IDS), floats(quantised)(IDS))


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_gradients_of_an_adapter_equal_those_beside_floats(quantised: Path, precision: torch.dtype) -> None:
    gradients = []
    for model in (load_frozen(quantised), floats(quantised)):
        torch.manual_seed(1)
        add_adapter(model, ADAPTER)
        for name, parameter in model.named_parameters():
            if name.endswith("lora_B"):
                torch.nn.init.normal_(parameter, std=0.1)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            logits = model(IDS)
        logits.float().square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-3, atol=1e-5)


def test_merged_weights_are_the_floats_with_the_adapter(quantised: Path) -> None:
    frozen, plain = load_frozen(quantised), floats(quantised)
    for model in (frozen, plain):
        torch.manual_seed(2)
        add_adapter(model, ADAPTER)
    merged, expected = merged_weights(frozen), merged_weights(plain)
    assert merged.keys() == set(frozen.spec.tensor_shapes())
    assert all(torch.equal(merged[name], expected[name]) for name in merged)


def test_only_integers_and_scales_are_kept(quantised: Path) -> None:
    model = load_frozen(quantised)
    stored = sum(
        tensor.region.end - tensor.region.start
        for name, tensor in read_safetensors(quantised / "model.safetensors").items()
        if not name.endswith(("norm.weight", "bias"))
    )
    kept = [module for module in model.modules() if isinstance(module, FrozenMatrix)]
    assert sum(buffer.nbytes for module in kept for buffer in module.buffers()) == stored
    vectors = [shape[0] for shape in model.spec.tensor_shapes().values() if len(shape) == 1]
    assert sum(parameter.numel() for parameter in model.parameters()) == sum(vectors)
