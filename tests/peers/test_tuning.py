"""peft and trl as oracles: same logits, losses and gradients as ours on the same weights and ids, and files both ways.

They run in an environment of their own, which `make test-peers` makes: they pin other packages than ours.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from benchmarks.hf_files import write_hf
from bise.model.lora import AdaptedLinear, add_adapter, load_adapter, save_adapter
from bise.model.transformer import Transformer
from bise.train.packing import Sample
from bise.train.report import Silent
from bise.train.step import accumulate_gradient
from bise.tune.data import Example, rows
from bise.tune.dpo import Preferences, numbered, reference
from bise.tune.recipe import DpoRecipe
from bise.weights.adapter import AdapterSpec, tensor_name
from bise.weights.spec import ModelSpec

pytestmark = pytest.mark.peers

MODEL = ModelSpec(97, 32, 3, 4, 2, 8, 48, 64, tied_embeddings=True)
ADAPTER = AdapterSpec(rank=4, alpha=10.0, targets=("wq", "wk", "wv", "wo", "w1", "w3", "w2"))
ROW_LENGTH = 40
BETA, SFT_WEIGHT = 0.25, 0.6
IDS = torch.arange(3, 33).reshape(2, 15)
EXACT = {"rtol": 1e-3, "atol": 2e-6}


def words(random: np.random.Generator, low: int, high: int) -> list[int]:
    return [int(word) for word in random.integers(3, MODEL.vocab_size, random.integers(low, high))]


def pairs() -> list[tuple[list[int], list[int], list[int]]]:
    """Prompt, better and worse answer; the answers end with EOS."""
    random = np.random.default_rng(1)
    return [([*words(random, 3, 9)], [*words(random, 2, 9), 2], [*words(random, 2, 9), 2]) for _ in range(5)]


def conversations() -> list[Sample]:
    """Ids of different lengths, of which some are learned."""
    random = np.random.default_rng(0)
    made = []
    for _ in range(8):
        ids = np.array([1, *words(random, 6, 30), 2], np.int64)
        learned = random.random(len(ids)) < 0.4
        learned[0], learned[-1] = False, True
        made.append(Sample(ids, learned))
    return made


def base() -> Transformer:
    torch.manual_seed(0)
    model = Transformer(MODEL)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def adapted() -> Transformer:
    model = base()
    add_adapter(model, ADAPTER)
    for name, parameter in model.named_parameters():
        if name.endswith(("lora_A", "lora_B")):
            torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what peft and trl made of our model, adapter and ids."""
    directory = tmp_path_factory.mktemp("oracle")
    write_hf(directory / "base", MODEL, base().state_dict())
    save_adapter(directory / "adapter", adapted(), ADAPTER)
    sft = [
        (sample.ids.tolist(), np.where(sample.learned, sample.ids, -100).tolist())  # type: ignore[arg-type]
        for sample in conversations()
    ]
    work = {
        "vocab_size": MODEL.vocab_size,
        "ids": IDS.tolist(),
        "sft": sft,
        "row_length": ROW_LENGTH,
        "accumulation": 99,
        "dpo": pairs(),
        "beta": BETA,
        "sft_weight": SFT_WEIGHT,
    }
    (directory / "work.json").write_text(json.dumps(work))
    command = [os.environ["BISE_TUNING_PEERS_PYTHON"], str(Path(__file__).with_name("trl_side.py")), str(directory)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": str(directory / "cache")}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    return directory


def assert_same_gradients(model: Transformer, found: dict[str, torch.Tensor]) -> None:
    compared = 0
    for matrix in ADAPTER.matrices(MODEL.num_layers):
        layer = model.get_submodule(matrix)
        assert isinstance(layer, AdaptedLinear)
        for side, parameter in (("A", layer.lora_A), ("B", layer.lora_B)):
            assert parameter.grad is not None
            assert parameter.grad.abs().max() > 1e-5
            torch.testing.assert_close(parameter.grad, found[tensor_name(matrix, side)], **EXACT)
            compared += 1
    assert compared == 2 * 7 * MODEL.num_layers


def test_our_adapter_in_peft_has_our_logits_and_gradients(theirs: Path) -> None:
    found, model = load_file(theirs / "forward.safetensors"), adapted()
    logits = model(IDS)
    torch.testing.assert_close(logits, found["logits"], rtol=1e-4, atol=1e-5)
    functional.cross_entropy(logits[:, :-1].flatten(0, 1), IDS[:, 1:].flatten()).backward()
    assert_same_gradients(model, found)


def test_an_adapter_of_peft_has_its_logits_here(theirs: Path) -> None:
    model = base()
    spec = load_adapter(theirs / "own_adapter", model)
    assert (spec.rank, spec.alpha, spec.targets) == (3, 5.0, ("wq", "wo", "w3"))
    expected = load_file(theirs / "own_adapter.safetensors")["logits"]
    assert (expected - base()(IDS)).abs().max() > 0.01
    torch.testing.assert_close(model(IDS), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_supervised_loss_and_gradient_are_those_of_trl(theirs: Path, packing: bool) -> None:
    found, model = load_file(theirs / f"sft_{packing}.safetensors"), adapted()
    layout = rows([Example(sample) for sample in conversations()], ROW_LENGTH, seed=0)
    loss = accumulate_gradient(model, layout.batch(0, layout.num_rows), 2, "f32")
    assert loss == pytest.approx(found["loss"].item(), rel=1e-5)
    assert_same_gradients(model, found)


def test_preference_loss_and_gradient_are_those_of_trl(theirs: Path, tmp_path: Path) -> None:
    found, model = load_file(theirs / "dpo.safetensors"), adapted()
    examples = []
    for prompt, chosen, rejected in pairs():
        sides = [
            Sample(np.array([*prompt, *answer], np.int64), np.arange(len(prompt) + len(answer)) >= len(prompt))
            for answer in (chosen, rejected)
        ]
        examples.append(Example(*sides))
    layout = rows(numbered(examples, first=0), 2 * ROW_LENGTH, seed=0)
    batch = layout.batch(0, layout.num_rows)
    known = reference(tmp_path / "reference", base(), {"pairs": batch}, 2, "f32", Silent())
    measures = Preferences(known, DpoRecipe(BETA, SFT_WEIGHT))(model, batch, 2, "f32")
    assert measures["loss"] == pytest.approx(found["loss"].item(), rel=1e-5)
    assert_same_gradients(model, found)
