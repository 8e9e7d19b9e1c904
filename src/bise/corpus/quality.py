"""A classifier of quality: learns to tell texts that the user calls good from any others, and scores a corpus by it.

Logistic regression on hashed words and pairs of neighbouring words, as fastText has it (arXiv 1607.01759) and as DCLM
found best for choosing pre-training data (arXiv 2406.11794): linear, so that it is fast, and so that nothing but the
words decides. The loss is that of the mean over a text's features, so a text's length does not matter.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bise.corpus.kernels.sequences import score_texts, train_epoch
from bise.corpus.texts import Data, Offsets, pack, read_only
from bise.corpus.words import Words, split_words
from bise.errors import InputError, NotFoundError
from bise.runs import write_atomically

Floats = NDArray[np.float32]
WEIGHTS, FACTS = "quality.safetensors", "quality.json"
_MIN_TEXTS = 20  # of each kind
_BATCH_TEXTS = 1000
_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class QualitySettings:
    """How the classifier learns."""

    hash_bits: int = 20  # weights: two to this power, four bytes each
    epochs: int = 3
    rate: float = 4.0  # of the first step; falls to nothing by the last
    held_out: float = 0.1  # share of texts, at most half, chosen by their hash, that only measure
    max_words: int = 2000  # of a text that are learned from
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("hash_bits", 8, 28), ("epochs", 1, 100), ("max_words", 1, 1_000_000)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}, but must be between {low} and {high:,}.")
        if not 0 < self.held_out < 1 or self.rate <= 0:
            raise ValueError(
                f"held_out is {self.held_out} and rate {self.rate}: 0 < held_out < 1 and rate > 0 must hold."
            )


@dataclass(frozen=True)
class QualityModel:
    """Weights of words and of pairs, by hash."""

    weights: Floats  # [two to the power of hash_bits]
    bias: float
    facts: Mapping[str, Any]  # settings, numbers of texts, and what was measured on the texts held out

    def score(self, data: Data, offsets: Offsets, words: Words | None = None) -> Floats:
        """The probability that each text of a batch is one of the good ones [texts]; a text without words has the bias's."""
        words = words or split_words(data, offsets)
        logits = np.empty(len(offsets) - 1, np.float32)
        score_texts(read_only(words.hashes), read_only(words.firsts), read_only(self.weights), self.bias, logits)
        return _sigmoid(logits)

    def save(self, directory: Path) -> None:
        """Write weights and facts."""
        directory.mkdir(parents=True, exist_ok=True)
        part = directory / f"{WEIGHTS}.part"
        save_file({"weights": self.weights, "bias": np.array([self.bias])}, part)
        part.replace(directory / WEIGHTS)
        write_atomically(directory / FACTS, json.dumps(dict(self.facts), indent=2) + "\n")

    @classmethod
    def load(cls, directory: Path) -> "QualityModel":
        """Read what `save` wrote.

        Raises:
            NotFoundError: there is no classifier in the directory.
            InputError: it is damaged.
        """
        if not (directory / WEIGHTS).is_file() or not (directory / FACTS).is_file():
            raise NotFoundError(f"There is no quality classifier at {directory}. Make one with bise quality.")
        try:
            tensors = load_file(directory / WEIGHTS)
            facts = json.loads((directory / FACTS).read_text(encoding="utf-8"))
            weights, bias = tensors["weights"], float(tensors["bias"][0])
        except (SafetensorError, ValueError, KeyError, IndexError, OSError) as error:
            raise InputError(f"The quality classifier at {directory} is damaged: {error}. Make it again.") from None
        if weights.dtype != np.float32 or weights.ndim != 1 or weights.size.bit_count() != 1:
            raise InputError(
                f"The quality classifier at {directory} has weights {weights.dtype} {weights.shape}. Make it again."
            )
        return cls(weights, bias, facts)


def train_quality(good: Iterable[str], others: Iterable[str], settings: QualitySettings | None = None) -> QualityModel:
    """Learn to tell good texts from others; the same texts and seed give the same weights, in whatever order.

    Raises:
        InputError: there are too few texts of a kind.
    """
    settings = settings or QualitySettings()
    texts = [*_labelled(good, 1, settings), *_labelled(others, 0, settings)]
    texts.sort(key=lambda entry: (entry[0], entry[1]))  # by hash: the order of files must not decide
    labels = np.array([label for _, label, _ in texts], np.float32)
    num_good = int(labels.sum())
    if min(num_good, labels.size - num_good) < _MIN_TEXTS:
        raise InputError(
            f"There are {num_good:,} good texts and {labels.size - num_good:,} others. Give {_MIN_TEXTS} of each or more."
        )
    held_out = _hold_out(labels, settings.held_out)
    words = _join([words for _, _, words in texts])
    weights, bias, losses = _descend(words, labels, np.flatnonzero(~held_out), settings)
    logits = np.empty(labels.size, np.float32)
    score_texts(read_only(words.hashes), read_only(words.firsts), read_only(weights), bias, logits)
    facts = {
        "settings": asdict(settings),
        "good": num_good,
        "others": int(labels.size - num_good),
        "losses": [round(loss, 5) for loss in losses],
        "held_out": measure(_sigmoid(logits)[held_out], labels[held_out] > 0),
    }
    return QualityModel(weights, bias, facts)


def _labelled(
    texts: Iterable[str], label: int, settings: QualitySettings
) -> Iterator[tuple[bytes, int, NDArray[np.uint64]]]:
    """Key (hash of text and seed), label and hashed words of each text that has words."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH_TEXTS:
            yield from _hashed(batch, label, settings)
            batch = []
    yield from _hashed(batch, label, settings)


def _hashed(
    texts: Sequence[str], label: int, settings: QualitySettings
) -> Iterator[tuple[bytes, int, NDArray[np.uint64]]]:
    words = split_words(*pack(texts))
    for text, start, stop in zip(texts, words.firsts[:-1].tolist(), words.firsts[1:].tolist(), strict=True):
        if stop > start:
            key = hashlib.blake2b(f"{settings.seed}/{text}".encode(), digest_size=16).digest()
            yield key, label, words.hashes[start : min(stop, start + settings.max_words)].copy()


def _hold_out(labels: Floats, share: float) -> NDArray[np.bool_]:
    """Choose a share of each kind, evenly spread over the order of hashes."""
    held_out = np.zeros(labels.size, np.bool_)
    for label in (0, 1):
        places = np.flatnonzero(labels == label)
        held_out[places[:: max(2, round(1 / share))]] = True
    return held_out


def _join(texts: Sequence[NDArray[np.uint64]]) -> Words:
    firsts = np.concatenate([[0], np.cumsum([text.size for text in texts])]).astype(np.int64)
    nothing = np.empty(0, np.int64)
    return Words(np.concatenate(texts), nothing, nothing, firsts)


def _descend(
    words: Words, labels: Floats, chosen: NDArray[np.int64], settings: QualitySettings
) -> tuple[Floats, float, list[float]]:
    """Stochastic gradient descent over some texts; both kinds weigh the same, however many there are of each."""
    weights, bias = np.zeros(1 << settings.hash_bits, np.float32), np.zeros(1)
    share = float(labels[chosen].mean())
    class_weights = np.where(labels > 0, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    rates = np.linspace(settings.rate, 0, settings.epochs * chosen.size, endpoint=False, dtype=np.float32)
    random = np.random.default_rng(settings.seed)
    order = [read_only(random.permutation(chosen)) for _ in range(settings.epochs)]
    texts = read_only(words.hashes), read_only(words.firsts)
    losses = [
        train_epoch(*texts, chosen, read_only(labels), read_only(class_weights), read_only(steps), weights, bias)
        for chosen, steps in zip(order, np.split(rates, settings.epochs), strict=True)
    ]
    return weights, float(bias[0]), losses


def measure(scores: Floats, is_good: NDArray[np.bool_]) -> dict[str, Any]:
    """Precision and recall by threshold, the share of the others kept, and how often a good text scores above another."""
    rows = []
    for threshold in _THRESHOLDS:
        kept = scores >= threshold
        hits = int((kept & is_good).sum())
        rows.append(
            {
                "threshold": threshold,
                "precision": round(hits / max(1, int(kept.sum())), 4),
                "recall": round(hits / max(1, int(is_good.sum())), 4),
                "others_kept": round(int((kept & ~is_good).sum()) / max(1, int((~is_good).sum())), 4),
            }
        )
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1
    num_good, num_others = int(is_good.sum()), int((~is_good).sum())
    above = (int(ranks[is_good].sum()) - num_good * (num_good + 1) // 2) / max(1, num_good * num_others)
    return {"good": num_good, "others": num_others, "ranked_above": round(above, 4), "thresholds": rows}


def _sigmoid(logits: Floats) -> Floats:
    scores: Floats = (0.5 * (1 + np.tanh(0.5 * logits))).astype(np.float32)
    return scores
