"""Attention in blocks is attention: values and gradients equal PyTorch's own kernel on awkward shapes."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bise.model.attention import attend, first_keys, score_bias
from bise.model.transformer import restarting_positions


def heads(num_tokens: int, num_heads: int, num_kv_heads: int) -> list[Tensor]:
    torch.manual_seed(num_tokens)
    counts = (num_heads, num_kv_heads, num_kv_heads)
    return [torch.randn(2, count, num_tokens, 8, requires_grad=True) for count in counts]


def documents(num_tokens: int) -> Tensor:
    return (torch.rand(2, num_tokens) < 0.05).long().cumsum(1)


@pytest.mark.parametrize("num_tokens", [1, 5, 127, 128, 129, 300])
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(4, 2), (3, 1), (2, 2)])
@pytest.mark.parametrize("is_packed", [False, True])
def test_blocks_equal_the_reference(num_tokens: int, num_heads: int, num_kv_heads: int, is_packed: bool) -> None:
    q, k, v = heads(num_tokens, num_heads, num_kv_heads)
    numbers = documents(num_tokens)
    allowed = (numbers[:, :, None] == numbers[:, None, :]).tril().unsqueeze(1) if is_packed else None
    firsts = first_keys(restarting_positions(numbers)) if is_packed else None
    mixed = attend(q, k, v, score_bias(allowed, torch.zeros(2, num_tokens, 1)), firsts)
    expected = functional.scaled_dot_product_attention(
        q, k, v, attn_mask=allowed, is_causal=allowed is None, enable_gqa=True
    )
    torch.testing.assert_close(mixed, expected)
    weights = torch.randn_like(mixed)
    ours = torch.autograd.grad((mixed * weights).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_keys_of_documents_that_ended_are_not_read() -> None:
    q, k, v = heads(300, 2, 1)
    numbers = torch.zeros(2, 300, dtype=torch.long)
    numbers[0, 140:], numbers[1, 100:] = 1, 1
    firsts = first_keys(restarting_positions(numbers))
    assert firsts == (0, 0, 100)
    with torch.no_grad():
        k[:, :, :100] = float("nan")
    allowed = (numbers[:, :, None] == numbers[:, None, :]).tril().unsqueeze(1)
    mixed = attend(q, k, v, score_bias(allowed, torch.zeros(2, 300, 1)), firsts)
    assert mixed[:, :, 256:].isfinite().all()


def test_long_windows_take_the_kernel_that_keeps_no_scores() -> None:
    assert score_bias(None, torch.zeros(1, 1024, 1)) is not None
    assert score_bias(None, torch.zeros(1, 1025, 1)) is None


def test_autocast_makes_the_bias_as_narrow_as_the_scores() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        bias = score_bias(None, torch.zeros(1, 4, 1))
    assert bias is not None
    assert bias.dtype == torch.bfloat16
