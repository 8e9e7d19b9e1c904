"""A saved model loads as it was; a directory that holds no usable model says why."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from bise.errors import InputError
from bise.model.files import WEIGHTS_FILE, load_model, save_model
from bise.model.transformer import Transformer
from bise.weights.spec import SPEC_FILE, ModelSpec

SPEC = ModelSpec(
    vocab_size=31, hidden_size=16, num_layers=2, num_heads=2, num_kv_heads=1, head_dim=8, ffn_size=24, context_length=16
)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path, Transformer(SPEC), torch.float32)
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_saved_is_loaded(tmp_path: Path, dtype: torch.dtype) -> None:
    model = Transformer(SPEC)
    save_model(tmp_path, model, dtype)
    loaded = load_model(tmp_path)
    assert loaded.spec == SPEC
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.to(dtype).float()), name


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a Bise model"):
        load_model(tmp_path)


def test_missing_weights(saved: Path) -> None:
    (saved / WEIGHTS_FILE).unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        load_model(saved)


def test_cut_off_weights(saved: Path) -> None:
    whole = (saved / WEIGHTS_FILE).read_bytes()
    (saved / WEIGHTS_FILE).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="damaged"):
        load_model(saved)


def test_a_missing_tensor(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS_FILE)
    del tensors["norm.weight"]
    save_file(tensors, saved / WEIGHTS_FILE)
    with pytest.raises(InputError, match=r"missing norm\.weight"):
        load_model(saved)


def test_a_tensor_of_another_shape(saved: Path) -> None:
    tensors = load_file(saved / WEIGHTS_FILE)
    tensors["norm.weight"] = tensors["norm.weight"][:4].clone()
    save_file(tensors, saved / WEIGHTS_FILE)
    with pytest.raises(InputError, match=r"norm\.weight has shape \(4,\)"):
        load_model(saved)


def test_a_quantised_model_cannot_be_tuned(saved: Path) -> None:
    table = json.loads((saved / SPEC_FILE).read_text(encoding="utf-8"))
    table["quantisation"] = {"bits": 8, "group_size": 32}
    (saved / SPEC_FILE).write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(InputError, match="quantised to 8 bits"):
        load_model(saved)
