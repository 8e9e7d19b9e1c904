"""Loss on text that was never trained on, in nats per token and in bits per byte.

Bits per byte does not depend on the vocabulary: all nats spent on tokens of text, over the bytes these tokens spell.
Control tokens spell nothing and count in neither.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from bise.model.transformer import Transformer
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.shards import Shards
from bise.train.loader import shard_rows
from bise.train.packing import IGNORED, Batch
from bise.train.step import Precision, target_losses


@dataclass(frozen=True)
class HeldOut:
    """Rows to measure on, by language or kind, and what each token spells."""

    batches: dict[str, Batch]
    token_sizes_V: Tensor  # bytes that each token spells, 0 for control tokens
    rows_at_once: int

    @torch.no_grad()
    def measure(self, model: Transformer, precision: Precision) -> dict[str, dict[str, float]]:
        """Loss (nats per target) and bits per byte of each kind of text."""
        return {name: self._measure_one(batch, model, precision) for name, batch in self.batches.items()}

    def _measure_one(self, batch: Batch, model: Transformer, precision: Precision) -> dict[str, float]:
        nats = text_nats = 0.0
        num_targets = num_bytes = 0
        for part in batch.split(self.rows_at_once):
            losses = target_losses(model, part, precision)
            targets = part.targets_BT.flatten()
            sizes = torch.where(targets == IGNORED, 0, self.token_sizes_V[targets.clamp(min=0)])
            nats += losses.sum().item()
            text_nats += losses[sizes > 0].sum().item()
            num_targets += part.num_targets
            num_bytes += int(sizes.sum())
        return {
            "loss": round(nats / max(1, num_targets), 4),
            "bits_per_byte": round(text_nats / math.log(2) / max(1, num_bytes), 4),
        }


def held_out_text(
    shards: dict[str, Shards], tokenizer: ChatTokenizer, row_length: int, max_rows: int, rows_at_once: int
) -> HeldOut:
    """Up to `max_rows` rows of each language's held-out shards, the same ones at every call."""
    batches = {}
    for lang, lang_shards in shards.items():
        loader = shard_rows(lang_shards, tokenizer.bos_id, row_length, seed=0)
        batches[lang] = loader.batch(0, min(max_rows, loader.num_rows))
    return HeldOut(batches, token_sizes(tokenizer), rows_at_once)


def token_sizes(tokenizer: ChatTokenizer) -> Tensor:
    """How many bytes of text each token spells [V]."""
    return torch.tensor([len(tokenizer.token_bytes(token)) for token in range(tokenizer.vocab_size)])
