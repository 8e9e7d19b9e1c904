"""How far two models of one vocabulary are apart on texts, such as two precisions of the same weights.

The Kullback-Leibler divergence of whole next-token distributions, agreement of the likeliest token, and the difference in
bits per byte. An API tells at most a few alternatives for each token, so both models run here, in the engine, as they
are served: docs/decisions/0006-divergence-in-the-engine.md.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bise.engine.agreement import WINDOW, check_memory, compare_window
from bise.engine.forward import Model
from bise.engine.kernels.table import Progress, choose_kernels
from bise.errors import InputError
from bise.evals.statistics import ALPHA, Estimate, paired_difference, ratio
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import open_weights

_RARE = 0.99  # the quantile told beside the mean: rounding harms few places much
_QUANTILE_DRAWS = 1_000


@dataclass(frozen=True)
class Divergence:
    """What was found on some texts, with intervals over texts."""

    num_texts: int
    num_tokens: int  # places at which a next token was foretold
    num_bytes: int
    kl_nats: Estimate  # mean over places, of the second model's distribution from the first's
    kl_nats_p99: Estimate
    same_best: Estimate  # share of places
    bits_per_byte: tuple[float, float]
    bits_per_byte_difference: Estimate  # the second's minus the first's


@dataclass(frozen=True)
class _Text:
    kl_nats_T: NDArray[np.float64]
    same_best: int
    bits: tuple[float, float]
    num_bytes: int


def measure_divergence(
    first: Path,
    second: Path,
    texts: Sequence[str],
    preparing: Progress | None = None,
    progress: Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> Divergence:
    """Run two models' directories on texts, window by window, each window beginning as a text does.

    Raises:
        InputError: the vocabularies differ, there is no text, or the models do not fit into memory.
    """
    tokenizer = _shared_tokenizer(first, second)
    windows_of = [_windows(tokenizer, text) for text in texts]
    windows_of = [windows for windows in windows_of if windows]
    if not windows_of:
        raise InputError("There is no text to compare on: the files hold none. Give others with --text.")
    weights = [open_weights(path) for path in (first, second)]
    check_memory("To be compared token by token", *weights)
    kernels = choose_kernels(preparing).kernels
    found: list[_Text] = []
    with closing(Model(weights[0], kernels)) as one, closing(Model(weights[1], kernels)) as other:
        for windows in windows_of:
            found.append(_compare_text(one, other, windows, tokenizer))
            if progress is not None:
                progress(len(found), len(windows_of))
    return _summed_up(found, seed)


def _shared_tokenizer(first: Path, second: Path) -> ChatTokenizer:
    one, other = (ChatTokenizer.load(path) for path in (first, second))
    if one.sha256 == other.sha256:
        return one
    sizes = one.vocab_size, other.vocab_size
    if sizes[0] != sizes[1] or any(one.token_bytes(n) != other.token_bytes(n) for n in range(sizes[0])):
        raise InputError(
            f"{first.name} and {second.name} have different vocabularies (of {sizes[0]:,} and {sizes[1]:,} tokens), so their "
            "distributions cannot be compared token by token. Compare bits per byte: --suite bits-per-byte."
        )
    return one


def _windows(tokenizer: ChatTokenizer, text: str) -> list[list[int]]:
    ids, size = tokenizer.encode(text), WINDOW - 1
    windows = [tokenizer.begin(ids[start : start + size]) for start in range(0, len(ids), size)]
    return [window for window in windows if len(window) > 1]


def _compare_text(one: Model, other: Model, windows: Sequence[Sequence[int]], tokenizer: ChatTokenizer) -> _Text:
    places = [compare_window(one, other, window) for window in windows]
    bits = np.sum([each.surprise_nats_2T.sum(axis=1) for each in places], axis=0) / math.log(2)
    return _Text(
        kl_nats_T=np.concatenate([each.kl_nats_T[:-1] for each in places]),  # nothing came after the last token
        same_best=sum(int(each.same_best_T[:-1].sum()) for each in places),
        bits=(float(bits[0]), float(bits[1])),
        num_bytes=sum(len(tokenizer.token_bytes(token)) for window in windows for token in window[1:]),
    )


def _summed_up(texts: Sequence[_Text], seed: int) -> Divergence:
    tokens = np.array([len(text.kl_nats_T) for text in texts], float)
    sizes = np.array([text.num_bytes for text in texts], float)
    one, other = np.array([text.bits for text in texts]).T
    return Divergence(
        num_texts=len(texts),
        num_tokens=int(tokens.sum()),
        num_bytes=int(sizes.sum()),
        kl_nats=ratio(np.array([text.kl_nats_T.sum() for text in texts]), tokens, seed),
        kl_nats_p99=_quantile([text.kl_nats_T for text in texts], seed),
        same_best=ratio(np.array([text.same_best for text in texts], float), tokens, seed),
        bits_per_byte=(float(one.sum() / sizes.sum()), float(other.sum() / sizes.sum())),
        bits_per_byte_difference=paired_difference(one, other, sizes, seed),
    )


def _quantile(values: Sequence[NDArray[np.float64]], seed: int) -> Estimate:
    """The 99th percentile over all places, with the bootstrap's interval over texts."""
    values = sorted(values, key=lambda each: (len(each), float(each.sum())))  # their order is not to matter
    everything = np.concatenate(values)
    order = np.argsort(everything)
    text_of = np.repeat(np.arange(len(values)), [len(each) for each in values])[order]
    ordered, generator = everything[order], np.random.default_rng(seed)

    def quantile(times_of_text: NDArray[np.int64]) -> float:
        reached = np.cumsum(times_of_text[text_of])
        return float(ordered[np.searchsorted(reached, _RARE * reached[-1])])

    even = np.full(len(values), 1 / len(values))
    drawn = np.array([quantile(generator.multinomial(len(values), even)) for _ in range(_QUANTILE_DRAWS)])
    low, high = np.quantile(drawn, [ALPHA / 2, 1 - ALPHA / 2])
    value = quantile(np.ones(len(values), np.int64))
    return Estimate(value, float(low), float(high), float(drawn.std(ddof=1)), len(values))
