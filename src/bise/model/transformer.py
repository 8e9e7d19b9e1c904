"""The Mistral 7B architecture (arXiv 2310.06825) and its relatives in plain PyTorch, for training and tuning.

Parameter names are the canonical ones of `bise.weights.spec`, so a state dict is a model file without a map.

Shape suffixes: B batch, T tokens in a window, D hidden size, H query heads, K key/value heads, E head size,
P pairs of a head (E / 2), F feed-forward size, V vocabulary.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bise.errors import InputError
from bise.model.attention import attend, first_keys, product_dtype, score_bias
from bise.weights.rope import query_scales, rotary_frequencies
from bise.weights.spec import ModelSpec

_EMBEDDING_STD = 0.02


@dataclass(frozen=True)
class Places:
    """Where the tokens of a batch stand, and what each may see."""

    cos_B1TP: Tensor
    sin_B1TP: Tensor
    query_scale_B1T1: Tensor | None  # what queries are multiplied by; None where that is one
    bias_B1TT: Tensor | None  # added to the scores of layers that see all tokens before; None for causality alone
    window_bias_B1TT: Tensor | None  # of the others
    firsts: tuple[int, ...] | None  # of `first_keys`


class Attention(nn.Module):
    """Grouped-query attention with half-split rotary embeddings."""

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.head_dim = spec.head_dim
        self.is_rotated = layer not in spec.unrotated_layers
        self.has_window = spec.layer_window(layer) is not None
        self.wq = nn.Linear(spec.hidden_size, spec.num_heads * spec.head_dim, bias=spec.attention_bias)
        self.wk = nn.Linear(spec.hidden_size, spec.num_kv_heads * spec.head_dim, bias=spec.attention_bias)
        self.wv = nn.Linear(spec.hidden_size, spec.num_kv_heads * spec.head_dim, bias=spec.attention_bias)
        self.wo = nn.Linear(spec.num_heads * spec.head_dim, spec.hidden_size, bias=False)
        self.has_norms = spec.qk_norm
        if spec.qk_norm:
            self.q_norm = nn.RMSNorm(spec.head_dim, eps=spec.norm_eps)
            self.k_norm = nn.RMSNorm(spec.head_dim, eps=spec.norm_eps)

    def forward(self, x_BTD: Tensor, places: Places) -> Tensor:
        """Mix values over the tokens that each may see."""
        q_BHTE, k_BKTE, v_BKTE = (self._heads(project(x_BTD)) for project in (self.wq, self.wk, self.wv))
        if self.has_norms:
            q_BHTE = self.q_norm(q_BHTE.float()).to(v_BKTE.dtype)
            k_BKTE = self.k_norm(k_BKTE.float()).to(v_BKTE.dtype)
        if self.is_rotated:
            q_BHTE = rotate(q_BHTE, places.cos_B1TP, places.sin_B1TP)
            k_BKTE = rotate(k_BKTE, places.cos_B1TP, places.sin_B1TP)
        if places.query_scale_B1T1 is not None:
            q_BHTE = (q_BHTE * places.query_scale_B1T1).to(k_BKTE.dtype)
        bias_B1TT = places.window_bias_B1TT if self.has_window else places.bias_B1TT
        mixed_BHTE = attend(q_BHTE, k_BKTE, v_BKTE, bias_B1TT, places.firsts)
        out_BTD: Tensor = self.wo(mixed_BHTE.transpose(1, 2).flatten(2))
        return out_BTD

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], -1, self.head_dim).transpose(1, 2)


class FeedForward(nn.Module):
    """SwiGLU (arXiv 2002.05202)."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.w1 = nn.Linear(spec.hidden_size, spec.ffn_size, bias=False)
        self.w3 = nn.Linear(spec.hidden_size, spec.ffn_size, bias=False)
        self.w2 = nn.Linear(spec.ffn_size, spec.hidden_size, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Gate, widen, narrow."""
        out_BTD: Tensor = self.w2(functional.silu(self.w1(x_BTD)) * self.w3(x_BTD))
        return out_BTD


class Block(nn.Module):
    """Attention, then feed-forward, each on a normed copy of the residual stream."""

    def __init__(self, spec: ModelSpec, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(spec.hidden_size, eps=spec.norm_eps)
        self.attention = Attention(spec, layer)
        self.ffn_norm = nn.RMSNorm(spec.hidden_size, eps=spec.norm_eps)
        self.feed_forward = FeedForward(spec)

    def forward(self, x_BTD: Tensor, places: Places) -> Tensor:
        """Add both branches to the residual stream."""
        # Narrowed once, not by each of the products that share it.
        dtype = product_dtype(x_BTD)
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD).to(dtype), places)
        out_BTD: Tensor = x_BTD + self.feed_forward(self.ffn_norm(x_BTD).to(dtype))
        return out_BTD


class Transformer(nn.Module):
    """A decoder of the given shape, freshly initialised.

    Raises:
        InputError: it is a mixture of experts.
    """

    def __init__(self, spec: ModelSpec) -> None:
        if spec.num_experts:
            raise InputError(
                f"The model is a mixture of {spec.num_experts} experts a layer, which Bise serves, but does not train. "
                "Start from a dense model."
            )
        super().__init__()
        self.spec = spec
        self.skips_unseen = True  # keys of other documents; sizes that change with them do not suit compiled blocks
        self.recomputes = False  # blocks, for their gradient, instead of keeping all that they compute
        self.tok_embeddings = nn.Embedding(spec.vocab_size, spec.hidden_size)
        self.layers = nn.ModuleList(Block(spec, layer) for layer in range(spec.num_layers))
        self.norm = nn.RMSNorm(spec.hidden_size, eps=spec.norm_eps)
        if not spec.tied_embeddings:
            self.output = nn.Linear(spec.hidden_size, spec.vocab_size, bias=False)
        self._initialise()

    def forward(self, ids_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] of the next token; arguments as of `states`."""
        return functional.linear(self.states(ids_BT, documents_BT), self.head)

    def states(self, ids_BT: Tensor, documents_BT: Tensor | None = None) -> Tensor:
        """What the output is multiplied with [B, T, D].

        Args:
            ids_BT: token ids, at most `context_length` a document.
            documents_BT: the number of the document that each token belongs to. Documents packed in one row do not
                see each other, and positions restart with each, so that packed equals alone. Without it a row is one
                document.
        """
        num_tokens = ids_BT.shape[1]
        if documents_BT is None:
            assert num_tokens <= self.spec.context_length, f"{num_tokens} tokens, context {self.spec.context_length}"
            mask_B1TT: Tensor | None = None
            positions_BT = torch.arange(num_tokens, device=ids_BT.device).unsqueeze(0)
        else:
            mask_B1TT, positions_BT = document_mask(documents_BT), restarting_positions(documents_BT)
        x_BTD = self.tok_embeddings(ids_BT)
        bias_B1TT = near_bias_B1TT = score_bias(mask_B1TT, x_BTD)
        if self.spec.sliding_window is not None and num_tokens > self.spec.sliding_window:
            near_bias_B1TT = score_bias(
                window_mask(mask_B1TT, num_tokens, self.spec.sliding_window, x_BTD.device), x_BTD
            )
        cos_B1TP, sin_B1TP = rotary_table(self.spec, positions_BT)
        firsts = first_keys(positions_BT) if self.skips_unseen and x_BTD.device.type == "cpu" else None
        places = Places(cos_B1TP, sin_B1TP, query_scale(self.spec, positions_BT), bias_B1TT, near_bias_B1TT, firsts)
        for layer in self.layers:
            x_BTD = checkpoint(layer, x_BTD, places, use_reentrant=False) if self.recomputes else layer(x_BTD, places)
        out_BTD: Tensor = self.norm(x_BTD)
        return out_BTD

    @property
    def head(self) -> Tensor:
        """Weights of the output [V, D]."""
        weights_VD: Tensor = self.tok_embeddings.weight if self.spec.tied_embeddings else self.output.weight
        return weights_VD

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.norm.weight.device

    @torch.no_grad()
    def _initialise(self) -> None:
        """Scale each matrix by its inputs; `wo` and `w2` begin at zero, so that every block begins as the identity.

        Biases begin at zero, too.
        """
        for name, parameter in self.named_parameters():
            if name.endswith(("wo.weight", "w2.weight", ".bias")):
                parameter.zero_()
            elif name.startswith("layers.") and parameter.dim() == 2:
                parameter.normal_(std=1 / math.sqrt(parameter.shape[1]))
            elif parameter.dim() == 2:
                parameter.normal_(std=_EMBEDDING_STD)


def window_mask(mask_B1TT: Tensor | None, num_tokens: int, window: int, device: torch.device) -> Tensor:
    """The mask, or without one the causal mask, narrowed to the last `window` tokens, each token itself included."""
    near_TT = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=device).tril().triu(1 - window)
    return near_TT if mask_B1TT is None else mask_B1TT & near_TT


def document_mask(documents_BT: Tensor) -> Tensor:
    """Boolean [B, 1, T, T]: a token sees itself and what came before it in its own document."""
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return same_BTT.tril().unsqueeze(1)


def restarting_positions(documents_BT: Tensor) -> Tensor:
    """Each token's distance from the start of its document."""
    index_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    begins_BT = functional.pad(documents_BT[:, 1:] != documents_BT[:, :-1], (1, 0), value=True)
    starts_BT = torch.where(begins_BT, index_T, 0).cummax(dim=1).values
    return index_T - starts_BT


def rotary_table(spec: ModelSpec, positions_BT: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [B, 1, T, E / 2] of the rotary embedding (arXiv 2104.09864), both halves alike."""
    frequencies = rotary_frequencies(spec.head_dim, spec.rope_theta, spec.rope_scaling).astype(np.float32)
    turning = torch.from_numpy(frequencies).to(positions_BT.device)
    angles_B1TP = positions_BT[:, None, :, None].float() * turning
    factor = spec.rope_scaling.attention_factor if spec.rope_scaling is not None else 1.0
    return angles_B1TP.cos() * factor, angles_B1TP.sin() * factor


def query_scale(spec: ModelSpec, positions_BT: Tensor) -> Tensor | None:
    """What the queries at these positions are multiplied by [B, 1, T, 1], or None."""
    scales = query_scales(np.arange(positions_BT.shape[1], dtype=np.int32), spec.rope_scaling)
    if scales is None:
        return None
    return torch.from_numpy(scales).to(positions_BT.device)[positions_BT][:, None, :, None]


def rotate(x: Tensor, cos_B1TP: Tensor, sin_B1TP: Tensor) -> Tensor:
    """Turn each pair (j, j + E/2) by its token's angle, in float32."""
    turned: Tensor = _Rotation.apply(x, cos_B1TP, sin_B1TP)  # type: ignore[no-untyped-call]
    return turned


class _Rotation(torch.autograd.Function):
    """Its gradient is the turn back, which needs nothing of the forward pass but the angles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos_B1TP: Tensor, sin_B1TP: Tensor) -> Tensor:
        ctx.save_for_backward(cos_B1TP, sin_B1TP)
        return _turned(x, cos_B1TP, sin_B1TP)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        cos_B1TP, sin_B1TP = ctx.saved_tensors
        return _turned(gradients[0], cos_B1TP, -sin_B1TP), None, None


def _turned(x: Tensor, cos_B1TP: Tensor, sin_B1TP: Tensor) -> Tensor:
    first, second = x.float().chunk(2, dim=-1)
    first_turned = torch.addcmul(first * cos_B1TP, second, sin_B1TP, value=-1)
    return torch.cat((first_turned, torch.addcmul(second * cos_B1TP, first, sin_B1TP)), dim=-1).to(x.dtype)
