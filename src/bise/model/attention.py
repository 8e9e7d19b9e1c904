"""Causal attention over packed documents, as fast as the processor multiplies matrices.

PyTorch's own kernel for processors reaches a quarter of the rate of its matrix products. Here each block of queries
meets the keys up to its own last one in one product for all queries that share a key head; scores that causality
forbids anyway are left out, so that five eighths of the window's square is computed, and of packed documents those that no
query of a block may see. Graphics cards, and windows too long to keep their scores, take PyTorch's kernel.

Shape suffixes: B batch, T tokens in a window, H query heads, K key/value heads, G query heads to each of these, E head
size, Q queries of a block, S keys that they may see.
"""

import torch
from torch import Tensor
from torch.nn import functional

_BLOCK = 128  # queries; as fast as 64, and 256 is slower
_LONGEST = 1024  # tokens of a window; the scores of longer ones take more memory than all else


def product_dtype(x: Tensor) -> torch.dtype:
    """In what matrix products of a tensor are computed here: autocast's type within autocast, else its own."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


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
    bias = torch.zeros(allowed.shape, dtype=product_dtype(x_BTD), device=device).masked_fill_(~allowed, float("-inf"))
    return bias.view(-1, 1, num_tokens, num_tokens)


def first_keys(positions_BT: Tensor) -> tuple[int, ...]:
    """The first key that each block of queries may see: the beginning of its first document, in the row where it is earliest.

    Args:
        positions_BT: each token's distance from the start of its document.
    """
    starts = torch.arange(positions_BT.shape[1], device=positions_BT.device) - positions_BT
    return tuple(starts[:, ::_BLOCK].min(dim=0).values.tolist())


def attend(
    q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, bias_B1TT: Tensor | None, firsts: tuple[int, ...] | None = None
) -> Tensor:
    """Values mixed by the softmax of the scores [B, H, T, E].

    Args:
        q_BHTE: queries.
        k_BKTE: keys; each serves H / K neighbouring query heads.
        v_BKTE: values.
        bias_B1TT: of `score_bias`.
        firsts: of `first_keys`; None: every block may see the first key.
    """
    if _in_blocks(q_BHTE.shape[2], q_BHTE.device):
        assert bias_B1TT is not None
        return _attend_in_blocks(q_BHTE, k_BKTE, v_BKTE, bias_B1TT, firsts)
    return functional.scaled_dot_product_attention(
        q_BHTE, k_BKTE, v_BKTE, attn_mask=bias_B1TT, is_causal=bias_B1TT is None, enable_gqa=True
    )


def _in_blocks(num_tokens: int, device: torch.device) -> bool:
    return device.type == "cpu" and num_tokens <= _LONGEST


def _attend_in_blocks(
    q_BHTE: Tensor, k_BKTE: Tensor, v_BKTE: Tensor, bias_B1TT: Tensor, firsts: tuple[int, ...] | None
) -> Tensor:
    batch, num_heads, num_tokens, head_dim = q_BHTE.shape
    rows = batch * k_BKTE.shape[1]
    q_RGTE = (q_BHTE * head_dim**-0.5).reshape(rows, -1, num_tokens, head_dim)
    k_RET = k_BKTE.reshape(rows, num_tokens, head_dim).mT
    v_RTE = v_BKTE.reshape(rows, num_tokens, head_dim)
    mixed = []
    for block, start in enumerate(range(0, num_tokens, _BLOCK)):
        end = min(start + _BLOCK, num_tokens)
        seen = slice(firsts[block] if firsts else 0, end)
        q_RPE = q_RGTE[:, :, start:end].reshape(rows, -1, head_dim)  # P: G times Q
        scores_BHQS = torch.bmm(q_RPE, k_RET[:, :, seen]).view(batch, num_heads, end - start, -1)
        shares_BHQS = torch.softmax(scores_BHQS + bias_B1TT[:, :, start:end, seen], dim=-1)
        mixed_RPE = torch.bmm(shares_BHQS.view(rows, q_RPE.shape[1], -1), v_RTE[:, seen])
        mixed.append(mixed_RPE.view(batch, num_heads, end - start, head_dim))
    return torch.cat(mixed, dim=2)
