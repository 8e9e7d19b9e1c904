"""One CUDA device computes what the processor does, and a run there ends, continues and is recorded like any other."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bise.model.transformer import Transformer
from bise.train.packing import Batch, Sample, assemble
from bise.train.pretrain import train
from bise.train.recipe import TrainRecipe
from bise.train.report import Silent
from bise.train.step import accumulate_gradient
from bise.weights.spec import ModelSpec
from tests.train.test_pretrain import metrics, stop

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch finds no CUDA device"),
]

SPEC = ModelSpec(97, 64, 2, 4, 2, 16, 96, 64, tied_embeddings=True)


def packed() -> Batch:
    random = np.random.default_rng(0)
    rows = [[Sample(random.integers(0, 97, length)) for length in lengths] for lengths in ((30, 20), (64,), (8, 9, 10))]
    return assemble(rows, 64)


@pytest.mark.parametrize("is_recomputed", [False, True])
def test_loss_and_gradients_equal_the_processors(is_recomputed: bool) -> None:
    found = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(0)
        model = Transformer(SPEC)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        model.to(device).recomputes = is_recomputed
        loss = accumulate_gradient(model, packed(), 2, "f32")
        found.append((loss, [p.grad.cpu() for p in model.parameters() if p.grad is not None]))
    (loss, gradients), (other_loss, others) = found
    assert loss == pytest.approx(other_loss, rel=1e-4)
    for one, other in zip(gradients, others, strict=True):
        torch.testing.assert_close(one, other, rtol=5e-3, atol=1e-5)


def test_a_run_stopped_there_goes_on_there(recipe: TrainRecipe) -> None:
    there = replace(recipe, loop=replace(recipe.loop, device="cuda"))
    facts = train(there, Silent()).facts
    assert facts["device"] == "cuda"
    disturbed = replace(there, root=recipe.root / "disturbed")
    stop(disturbed, 8)
    train(disturbed, Silent())
    losses, again = ([line["loss"] for line in metrics(run) if "loss" in line] for run in (there, disturbed))
    assert losses == pytest.approx(again, rel=1e-3)
