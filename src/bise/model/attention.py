"""Causal attention over packed documents, as fast as the processor multiplies matrices.

PyTorch's own kernel for processors reaches a quarter of the rate of its matrix products. Here each block of queries
meets the keys up to its own last one in one product for all queries that share a key head; scores that causality
forbids anyway are left out, so that five eighths of the window's square is computed. Graphics cards, and windows too long to
keep their scores, take PyTorch's kernel.

Shape suffixes: B batch, T tokens in a window, H query heads, K key/value heads, G query heads to each of these, E head
size, Q queries of a block, S keys that they may see.
"""

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 128  # queries; as fast as 64, and 256 is slower
_LONGEST = 1024  # tokens of a window; the scores of longer ones take more memory than all else


def score_bias(allowed: Tensor | None, x_BTD: Tensor) -> Tensor | None:
    """What `attend` is to add to the scores of these activations.

    Args:
        allowed: boolean [.., T, T], where each token may look, none of which lies ahead; None: everything before it.
        x_BTD: activations, for their number, device and type.

    Returns:
        0 where a token may look and minus infinity elsewhere [1 or B, 1, T, T]; None for causality alone, where the
        kernel knows it by itself.
    """
    num_tokens, device = x_BTD.shape[1], x_BTD.device
    if allowed is None:
        if not _in_blocks(num_tokens, device):
            return None
        allowed = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=device).tril()
    is_mixed = torch.is_autocast_enabled(device.type)
    dtype = torch.get_autocast_dtype(device.type) if is_mixed else x_BTD.dtype
    bias = torch.zeros(allowed.shape, dtype=dtype, device=device).masked_fill_(~allowed, float("-inf"))
    return bias.view(-1, 1, num_tokens, num_tokens)


def attend(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, bias_B1TT: Tensor | None) -> Tensor:
    """Values mixed by the softmax of the scores [B, H, T, E].

    Args:
        q_BHTE: queries.
        k_BKTE: keys; each serves H / K neighbouring query heads.
        v_BKTE: values.
        bias_B1TT: of `score_bias`.
    """
    if _in_blocks(q_BHTE.shape[2], q_BHTE.device):
        assert bias_B1TT is not None
        return _attend_in_blocks(q_BHTE, k_BKTE, v_BKTE, bias_B1TT)
    return functional.scaled_dot_product_attention(
        q_BHTE, k_BKTE, v_BKTE, attn_mask=bias_B1TT, is_causal=bias_B1TT is None, enable_gqa=True
    )


def _in_blocks(num_tokens: int, device: torch.device) -> bool:
    return device.type == "cpu" and num_tokens <= _LONGEST


def _attend_in_blocks(q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, bias_B1TT: Tensor) -> Tensor:
    batch, num_heads, num_tokens, head_dim = q_BHTE.shape
    rows = batch * k_BKTE.shape[1]
    q_RGTE = (q_BHTE * head_dim**-0.5).reshape(rows, -1, num_tokens, head_dim)
    k_RET = k_BKTE.reshape(rows, num_tokens, head_dim).mT
    v_RTE = v_BKTE.reshape(rows, num_tokens, head_dim)
    mixed = []
    for start in range(0, num_tokens, _BLOCK):
        end = min(start + _BLOCK, num_tokens)
        q_RPE = q_RGTE[:, :, start:end].reshape(rows, -1, head_dim)  # P: G times Q
        scores_BHQS = torch.bmm(q_RPE, k_RET[:, :, :end]).view(batch, num_heads, end - start, end)
        shares_BHQS = torch.softmax(scores_BHQS + bias_B1TT[:, :, start:end, :end], dim=-1)
        mixed_RPE = torch.bmm(shares_BHQS.view(rows, -1, end), v_RTE[:, :end])
        mixed.append(mixed_RPE.view(batch, num_heads, end - start, head_dim))
    return torch.cat(mixed, dim=2)
