"""An adapter begins without effect, changes nothing but itself, and merges into the same function; files are peft's."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bise.errors import InputError, NotFoundError
from bise.model.lora import add_adapter, halve_frozen, load_adapter, merged_weights, save_adapter
from bise.model.transformer import Transformer
from bise.weights.adapter import TARGETS, AdapterSpec, read_config
from bise.weights.spec import ModelSpec

MODEL = ModelSpec(50, 32, 2, 4, 2, 16, 48, 64)
SPEC = AdapterSpec(rank=3, alpha=6.0, targets=("wq", "wv", "w2"), base="small")
IDS = torch.arange(20).reshape(2, 10)


def model() -> Transformer:
    torch.manual_seed(0)
    made = Transformer(MODEL)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made


def adapted(spec: AdapterSpec = SPEC) -> Transformer:
    """A model whose adapter has an effect."""
    made = model()
    add_adapter(made, spec)
    for name, parameter in made.named_parameters():
        if name.endswith("lora_B"):
            torch.nn.init.normal_(parameter, std=0.1)
    return made


def test_a_fresh_adapter_has_no_effect() -> None:
    fresh = model()
    before = fresh(IDS)
    add_adapter(fresh, SPEC)
    torch.testing.assert_close(fresh(IDS), before)


def test_only_the_adapter_learns() -> None:
    made = adapted()
    made(IDS).sum().backward()
    learned = {name for name, parameter in made.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, _ in made.named_parameters() if name.endswith(("lora_A", "lora_B"))}
    assert len(learned) == 2 * 3 * MODEL.num_layers


def test_halved_frozen_weights_train_alike_and_take_half(tmp_path: Path) -> None:
    gradients = []
    for halved in (False, True):
        made = adapted()
        for parameter in made.parameters():
            parameter.data = parameter.to(torch.bfloat16).float()  # as a file holds them
        if halved:
            halve_frozen(made)
        with torch.autocast("cpu", torch.bfloat16):
            loss = made(IDS).float().square().mean()
        loss.backward()
        gradients.append({name: p.grad for name, p in made.named_parameters() if p.grad is not None})
    assert made.layers[0].attention.wq.base.weight.dtype == torch.bfloat16
    assert gradients[0].keys() == gradients[1].keys()
    assert all(torch.equal(gradient, gradients[1][name]) for name, gradient in gradients[0].items())


def test_merged_equals_adapted() -> None:
    made = adapted()
    before = made(IDS)
    assert (before - model()(IDS)).abs().max() > 0.1
    merged = Transformer(MODEL)
    merged.load_state_dict(merged_weights(made))
    torch.testing.assert_close(merged(IDS), before, rtol=0.05, atol=0.2)  # merged weights are bfloat16


@pytest.mark.parametrize("targets", [TARGETS, ("wo",), ("w1", "w3")])
def test_saved_and_loaded_equals_the_original(targets: tuple[str, ...], tmp_path: Path) -> None:
    spec = replace(SPEC, targets=targets)
    made, again = adapted(spec), model()
    save_adapter(tmp_path, made, spec)
    assert load_adapter(tmp_path, again) == spec
    torch.testing.assert_close(again(IDS), made(IDS), rtol=0, atol=0)


def test_an_adapter_of_another_model_is_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path, adapted(), SPEC)
    other = Transformer(replace(MODEL, hidden_size=48))
    with pytest.raises(InputError, match=r"down_proj.lora_B.weight with shape \(32, 3\).*needs shape \(48, 3\)"):
        load_adapter(tmp_path, other)
    with pytest.raises(InputError, match="but the model has no such matrix"):
        load_adapter(tmp_path, Transformer(replace(MODEL, num_layers=1)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"peft_type": "IA3"}, "describes IA3"),
        ({"use_dora": True}, "with use_dora"),
        ({"rank_pattern": {"q_proj": 4}}, "with rank_pattern"),
        ({"modules_to_save": ["lm_head"]}, "further trained modules"),
        ({"target_modules": ["c_attn"]}, "target modules c_attn"),
        ({"target_modules": "all-linear"}, "must be a list"),
        ({"r": 0}, "rank is 0"),
        ({"lora_alpha": "x"}, "alpha 'x'"),
    ],
)
def test_other_kinds_of_adapters_are_named(change: dict[str, object], message: str, tmp_path: Path) -> None:
    save_adapter(tmp_path, adapted(), SPEC)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_config(tmp_path)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="There is no adapter at"):
        load_adapter(tmp_path, model())
    save_adapter(tmp_path, adapted(), SPEC)
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:60])
    with pytest.raises(InputError, match="could not be read"):
        load_adapter(tmp_path, model())
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(InputError, match="is damaged"):
        load_adapter(tmp_path, model())
