"""Muon's updates are orthogonal and as large as AdamW's; the schedule warms up, stays and decays."""

import pytest
import torch

from bise.model.transformer import Transformer
from bise.train.optimizer import Optimizer, orthogonalise, schedule
from bise.train.recipe import OptimizerRecipe
from bise.weights.spec import ModelSpec

SPEC = ModelSpec(50, 16, 2, 2, 1, 8, 24, 32, tied_embeddings=True)


@pytest.mark.parametrize("shape", [(16, 16), (12, 40), (40, 12)])
def test_singular_values_come_out_near_one(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(3, *shape)))
    assert values.min() > 0.3
    assert values.max() < 1.3


def test_matrices_of_one_shape_together_equal_each_alone() -> None:
    matrices = torch.randn(4, 8, 20)
    together = orthogonalise(matrices)
    for matrix, update in zip(matrices, together, strict=True):
        torch.testing.assert_close(orthogonalise(matrix.unsqueeze(0))[0], update)


def test_bfloat16_finds_nearly_the_same_update() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(3, 24, 40)
    exact, rounded = orthogonalise(matrices), orthogonalise(matrices.bfloat16()).float()
    cosine = torch.nn.functional.cosine_similarity(exact.flatten(1), rounded.flatten(1))
    assert cosine.min() > 0.99


def test_the_update_has_adamws_size_whatever_the_shape() -> None:
    torch.manual_seed(0)
    model = Transformer(SPEC)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    Optimizer(model, OptimizerRecipe(0.01, 0.01, weight_decay=0.0), "f32").step(factor=0.5)
    for name, tensor in model.state_dict().items():
        rms = (tensor - before[name]).square().mean().sqrt() / 0.005
        assert 0.1 < rms < 1.1, name


def test_state_goes_out_and_in() -> None:
    def updated(steps: int, reload_at: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = Transformer(SPEC)
        optimizer = Optimizer(model, OptimizerRecipe(), "f32")
        for step in range(steps):
            if step == reload_at:
                state = {name: tensor.clone() for name, tensor in optimizer.state_tensors().items()}
                optimizer = Optimizer(model, OptimizerRecipe(), "f32")
                optimizer.load_state_tensors(state)
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizer.step(1.0)
        return model.state_dict()

    plain, reloaded = updated(4, reload_at=9), updated(4, reload_at=2)
    assert all(torch.equal(tensor, reloaded[name]) for name, tensor in plain.items())


def test_the_schedule() -> None:
    recipe = OptimizerRecipe(warm_up_fraction=0.1, decay_fraction=0.5)
    factors = [schedule(step, 100, recipe) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9:51] == [1.0] * 42
    assert factors[51:] == sorted(factors[51:], reverse=True)
    assert 0 < factors[-1] < 0.05
    assert schedule(0, 1, recipe) == 1.0
