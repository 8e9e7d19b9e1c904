"""The gradient is that of the mean over all targets, however the batch is split."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from bise.model.transformer import Transformer
from bise.train.compute import should_recompute
from bise.train.packing import Batch, Sample, assemble
from bise.train.recipe import LoopRecipe
from bise.train.step import accumulate_gradient, faster_precision
from bise.weights.spec import ModelSpec, Quantisation

SPEC = ModelSpec(50, 16, 2, 2, 1, 8, 24, 32)


@pytest.fixture
def batch() -> Batch:
    """Rows with very different numbers of targets."""
    random = np.random.default_rng(0)
    rows = [
        [Sample(random.integers(0, 50, length), random.random(length) < share)]
        for length, share in ((30, 1.0), (4, 0.5), (20, 0.1), (33, 0.9))
    ]
    return assemble(rows, 32)


def gradients(batch: Batch, microbatch_rows: int, recomputes: bool = False) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(0)
    model = Transformer(SPEC)
    model.recomputes = recomputes
    torch.nn.init.normal_(model.layers[0].attention.wo.weight)
    loss = accumulate_gradient(model, batch, microbatch_rows, "f32")
    return loss, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("microbatch_rows", [1, 2, 3])
def test_any_split_gives_the_same_gradient(batch: Batch, microbatch_rows: int) -> None:
    whole_loss, whole = gradients(batch, 4)
    split_loss, split = gradients(batch, microbatch_rows)
    assert split_loss == pytest.approx(whole_loss, rel=1e-5)
    for one, other in zip(whole, split, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_blocks_computed_twice_give_the_same_gradient_bit_for_bit(batch: Batch) -> None:
    kept_loss, kept = gradients(batch, 2)
    loss, recomputed = gradients(batch, 2, recomputes=True)
    assert loss == kept_loss
    assert all(torch.equal(one, other) for one, other in zip(kept, recomputed, strict=True))


def test_only_large_work_beside_quantised_weights_is_computed_twice() -> None:
    spec = ModelSpec(512, 2048, 22, 32, 8, 64, 5632, 1024)
    with torch.device("meta"):
        plain, frozen = Transformer(spec), Transformer(replace(spec, quantisation=Quantisation(4, 32)))
    assert not should_recompute(plain, LoopRecipe(), 1024)
    assert should_recompute(frozen, LoopRecipe(), 1024)
    assert not should_recompute(frozen, LoopRecipe(1, 1), 16)
    assert not should_recompute(frozen, LoopRecipe(recompute=False), 1024)
    assert should_recompute(plain, LoopRecipe(recompute=True), 16)


def test_bf16_agrees_with_f32_roughly(batch: Batch) -> None:
    torch.manual_seed(0)
    model = Transformer(SPEC)
    exact, rounded = (accumulate_gradient(model, batch, 4, precision) for precision in ("f32", "bf16"))
    assert exact != rounded
    assert rounded == pytest.approx(exact, rel=0.01)


def test_the_faster_precision_is_one_of_the_two() -> None:
    assert faster_precision() in ("bf16", "f32")
