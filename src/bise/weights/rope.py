"""Rotary frequencies, and the ways in which models stretch them to longer contexts than they were trained on."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

RopeKind = Literal["linear", "llama3", "yarn", "factors"]


@dataclass(frozen=True)
class RopeScaling:
    """How the rotary frequencies of a model differ from theta ** (-2 j / head_dim), dimension pair j.

    linear    all divided by `factor`
    llama3    low ones divided by `factor`, high ones kept, a ramp between (Llama 3.1)
    yarn      as llama3 with the ramp along the dimensions (YaRN, arXiv 2309.00071)
    factors   each divided by its own of `factors`, as GGUF files say it
    """

    kind: RopeKind
    factor: float = 1.0  # at least 1
    original_context: int = 0  # tokens that the model was first trained on; llama3 and yarn need it
    low_freq_factor: float = 1.0  # llama3: turns in the original context at and below which all is divided
    high_freq_factor: float = 4.0  # llama3: turns at and above which nothing is
    beta_fast: float = 32.0  # yarn: turns in the original context at and above which nothing is divided
    beta_slow: float = 1.0  # yarn: turns at and below which all is
    truncate: bool = True  # yarn: the ramp begins and ends at whole dimensions
    attention_factor: float = 1.0  # queries and keys are each multiplied by it (yarn's temperature)
    query_beta: float = 0.0  # queries grow by 1 + this * ln(1 + position // original_context) (Llama 4, Ministral 3)
    factors: tuple[float, ...] = ()  # one for each pair of dimensions, of the kind "factors" only

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in ("factor", "attention_factor", "low_freq_factor", "beta_slow"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"rope_scaling.{name} is {getattr(self, name)}, but must be a number above 0.")
        needs_original = self.kind in ("llama3", "yarn") or self.query_beta != 0
        if self.original_context < (1 if needs_original else 0):
            raise ValueError(f"rope_scaling.original_context is {self.original_context}, but {self.kind} needs tokens.")
        if self.kind == "llama3" and not self.low_freq_factor < self.high_freq_factor < math.inf:
            raise ValueError(
                f"rope_scaling.high_freq_factor is {self.high_freq_factor}, but must be above low_freq_factor "
                f"({self.low_freq_factor})."
            )
        if self.kind == "yarn" and not self.beta_slow < self.beta_fast < math.inf:
            raise ValueError(
                f"rope_scaling.beta_fast is {self.beta_fast}, but must be above beta_slow ({self.beta_slow})."
            )
        if not math.isfinite(self.query_beta):
            raise ValueError(f"rope_scaling.query_beta is {self.query_beta}, but must be a number.")
        if (self.kind == "factors") != bool(self.factors) or not all(0 < f < math.inf for f in self.factors):
            raise ValueError(
                "rope_scaling.factors must be numbers above 0 with the kind factors, and be left out else."
            )


def yarn_attention_factor(factor: float, mscale: float = 1.0, mscale_all_dim: float = 0.0) -> float:
    """The temperature that YaRN derives from the stretch, where a model does not say it."""

    def scale(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if not (mscale and mscale_all_dim):
        return scale(1.0)
    return scale(mscale) / scale(mscale_all_dim) if scale(mscale_all_dim) else math.inf  # which no model may have


def rotary_frequencies(head_dim: int, theta: float, scaling: RopeScaling | None) -> NDArray[np.float64]:
    """Radians that each pair of dimensions turns by from one position to the next, [head_dim / 2]."""
    frequencies: NDArray[np.float64] = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    if scaling is None:
        return frequencies
    if scaling.kind == "factors":
        return frequencies / np.array(scaling.factors, np.float64)
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "llama3":
        turns = scaling.original_context * frequencies / (2 * math.pi)
        low, high = scaling.low_freq_factor, scaling.high_freq_factor
        kept = np.clip((turns - low) / (high - low), 0, 1)
    else:
        kept = _yarn_kept(head_dim, theta, scaling)
    return frequencies * (kept + (1 - kept) / scaling.factor)


def query_scales(positions: NDArray[np.int32], scaling: RopeScaling | None) -> NDArray[np.float32] | None:
    """What the query at each position is multiplied by, or None where that is one everywhere."""
    if scaling is None or scaling.query_beta == 0:
        return None
    steps = np.log1p(positions // scaling.original_context)
    return (1 + scaling.query_beta * steps).astype(np.float32)


def _yarn_kept(head_dim: int, theta: float, scaling: RopeScaling) -> NDArray[Any]:
    """How much of each frequency is kept, 1 for fast dimensions to 0 for slow ones."""

    def dimension(turns: float) -> float:
        return head_dim * math.log(scaling.original_context / (turns * 2 * math.pi)) / (2 * math.log(theta))

    first, last = dimension(scaling.beta_fast), dimension(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    width = last - first if last != first else 0.001
    return 1 - np.clip((np.arange(head_dim // 2) - first) / width, 0, 1)
