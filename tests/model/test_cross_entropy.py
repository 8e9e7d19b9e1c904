"""Cross-entropy in pieces is cross-entropy: losses and gradients equal PyTorch's, whatever learns and however many rows."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bise.model.cross_entropy import cross_entropy


def case(num_rows: int) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(num_rows)
    return torch.randn(num_rows, 8), torch.randn(37, 8), torch.randint(37, (num_rows,))


@pytest.mark.parametrize("num_rows", [0, 1, 511, 512, 513, 1100])
@pytest.mark.parametrize("learning", [(True, True), (True, False), (False, True)])
def test_losses_and_gradients_equal_the_reference(num_rows: int, learning: tuple[bool, bool]) -> None:
    states, head, targets = case(num_rows)
    found = []
    for reference in (False, True):
        x, w = states.clone().requires_grad_(learning[0]), head.clone().requires_grad_(learning[1])
        if reference:
            losses = functional.cross_entropy(x @ w.T, targets, reduction="none")
        else:
            losses = cross_entropy(x, w, targets)
        (losses * torch.arange(num_rows)).sum().backward()  # every loss has a weight of its own, as in DPO
        found.append((losses.detach(), *(tensor.grad for tensor in (x, w) if tensor.requires_grad)))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_autocast_rounds_as_the_plain_loss_does() -> None:
    states, head, targets = case(600)
    states.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        losses = cross_entropy(states, head, targets)
        expected = functional.cross_entropy(functional.linear(states, head).float(), targets, reduction="none")
    torch.testing.assert_close(losses, expected)
    ours, theirs = (torch.autograd.grad(each.sum(), states)[0] for each in (losses, expected))
    torch.testing.assert_close(ours, theirs, rtol=0.02, atol=0.02)


def test_a_share_too_small_for_a_float_has_its_loss() -> None:
    states, targets = torch.tensor([[1.0], [500.0]]), torch.tensor([1, 1])
    losses = cross_entropy(states, torch.tensor([[1.0], [-1.0]]), targets)
    torch.testing.assert_close(losses, torch.tensor([2.0 + torch.exp(torch.tensor(-2.0)).log1p().item(), 1000.0]))
