"""Direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290): learn which of two answers is better.

The loss of a pair is -log sigmoid(beta * (r(chosen) - r(rejected))), where r is how much more likely the tuned model
makes an answer than the reference does, in nats. The reference is the model before its first step, whose log-probabilities
are computed once and kept with the run: beside an adapter it is the base, and nowhere is a second copy in memory.

Both sides of a pair are documents of one row: number 2n is the better answer of example n, 2n + 1 the worse.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from bise.model.transformer import Transformer
from bise.train.packing import IGNORED, Batch
from bise.train.report import Reporter
from bise.train.step import Measures, Precision, target_losses
from bise.tune.data import Example
from bise.tune.recipe import DpoRecipe

_TASK = "Reading the reference"


@dataclass(frozen=True)
class _Answers:
    """Log-probabilities in nats of the documents of some rows, N of them, in order of their numbers."""

    numbers_N: Tensor
    log_probabilities_N: Tensor

    def pairs(self) -> Tensor:
        """Where the pairs stand, [2, P]: their better answers, their worse ones."""
        worse = (self.numbers_N % 2 == 1).nonzero().squeeze(1)
        return torch.stack((worse - 1, worse))


@dataclass(frozen=True)
class Preferences:
    """The objective: mean loss of the pairs, and `sft_weight` times the mean nats per token of the better answers."""

    reference_S: Tensor  # log-probability of each document's answer, by its number
    recipe: DpoRecipe

    def __call__(self, model: Transformer, batch: Batch, microbatch_rows: int, precision: Precision) -> Measures:
        """Add the gradient of the batch; tells its loss, the share of pairs in right order, and their mean margin."""
        num_pairs = max(1, _num_pairs(batch))
        num_targets = max(1, int(((batch.targets_BT != IGNORED) & (batch.documents_BT % 2 == 0)).sum()))
        measures = dict.fromkeys(("loss", "accuracy", "margin"), 0.0)
        for part in batch.split(microbatch_rows):
            answers = answer_log_probabilities(model, part, precision)
            margins_P = self._margins(answers)
            loss = -functional.logsigmoid(margins_P).sum() / num_pairs
            if self.recipe.sft_weight:
                better = answers.log_probabilities_N[answers.numbers_N % 2 == 0]
                loss = loss - self.recipe.sft_weight * better.sum() / num_targets
            loss.backward()  # type: ignore[no-untyped-call]
            measures["loss"] += loss.item()
            measures["accuracy"] += (margins_P > 0).sum().item() / num_pairs
            measures["margin"] += margins_P.sum().item() / num_pairs
        return measures

    @torch.no_grad()
    def measure(self, model: Transformer, batch: Batch, rows_at_once: int, precision: Precision) -> Measures:
        """Loss, accuracy and margin of pairs that are not learned."""
        parts = batch.split(rows_at_once)
        margins_P = torch.cat([self._margins(answer_log_probabilities(model, part, precision)) for part in parts])
        measures = {
            "loss": -functional.logsigmoid(margins_P).mean(),
            "accuracy": (margins_P > 0).float().mean(),
            "margin": margins_P.mean(),
        }
        return {name: round(value.item(), 4) for name, value in measures.items()}

    def _margins(self, answers: _Answers) -> Tensor:
        gains_N = answers.log_probabilities_N - self.reference_S[answers.numbers_N]
        better, worse = answers.pairs()
        return self.recipe.beta * (gains_N[better] - gains_N[worse])


def answer_log_probabilities(model: Transformer, batch: Batch, precision: Precision) -> _Answers:
    """Sum the log-probabilities of each document's learned tokens."""
    losses = target_losses(model, batch, precision)
    documents = batch.documents_BT.flatten()
    numbers_N = torch.unique(documents[documents >= 0])
    place = torch.searchsorted(numbers_N, documents.clamp(min=0))  # padding has no loss: anywhere will do
    sums_N = torch.zeros(len(numbers_N), dtype=losses.dtype).index_add(0, place.clamp(max=len(numbers_N) - 1), -losses)
    return _Answers(numbers_N, sums_N)


def numbered(examples: list[Example], first: int) -> list[Example]:
    """The examples with the numbers of their documents, as of example `first`."""
    return [
        Example(
            replace(example.chosen, number=2 * n),
            example.rejected and replace(example.rejected, number=2 * n + 1),
        )
        for n, example in enumerate(examples, start=first)
    ]


@torch.no_grad()
def reference(
    path: Path,
    model: Transformer,
    batches: Mapping[str, Batch],
    rows_at_once: int,
    precision: Precision,
    reporter: Reporter,
) -> Tensor:
    """The log-probability of each document's answer by its number, read from the file or computed and kept there.

    Must be called before the first step, and before a checkpoint is loaded: the model is the reference then.
    """
    key = _hash(batches)
    kept = _read(path, key)
    if kept is not None:
        return kept
    parts = [part for batch in batches.values() for part in batch.split(rows_at_once)]
    found = []
    for done, part in enumerate(parts, start=1):
        found.append(answer_log_probabilities(model, part, precision))
        reporter.advance(_TASK, done, len(parts))
    numbers = torch.cat([answers.numbers_N for answers in found])
    log_probabilities = torch.zeros(int(numbers.max()) + 1)
    log_probabilities[numbers] = torch.cat([answers.log_probabilities_N for answers in found])
    temporary = path.with_name(path.name + ".part")
    save_file({"log_probabilities": log_probabilities}, temporary, metadata={"documents": key})
    temporary.replace(path)
    return log_probabilities


def _read(path: Path, key: str) -> Tensor | None:
    """What the file holds, if it was computed from the same documents."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            tensor: Tensor | None = (
                file.get_tensor("log_probabilities") if file.metadata()["documents"] == key else None
            )
    except (OSError, SafetensorError, KeyError, TypeError):
        return None  # damaged: it is computed again
    return tensor


def _hash(batches: Mapping[str, Batch]) -> str:
    digest = hashlib.sha256()
    for batch in batches.values():
        for tensor in (batch.inputs_BT, batch.targets_BT, batch.documents_BT):
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def _num_pairs(batch: Batch) -> int:
    numbers = torch.unique(batch.documents_BT)
    return int(((numbers >= 0) & (numbers % 2 == 1)).sum())
