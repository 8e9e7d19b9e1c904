"""One vector for a text: the mean of its tokens' last hidden states, scaled to length 1.

A model that was trained to write and not to compare gives vectors that are better than counting words and worse than
those of an embedding model; the model's card says so.
"""

import numpy as np

from bise.engine.kernels.table import Floats


class MeanState:
    """The mean of the final states of a prompt whose tokens are computed in several steps."""

    def __init__(self, norm_K: Floats, epsilon: float) -> None:
        self._norm_K = norm_K
        self._epsilon = epsilon
        self._sum_K = np.zeros(len(norm_K), np.float64)

    def add(self, states_TK: Floats) -> None:
        """Take in the residual stream after the last layer; it is normalised as the head would see it."""
        factors_T1 = 1 / np.sqrt(np.mean(np.square(states_TK), axis=1, keepdims=True) + self._epsilon)
        self._sum_K += np.sum(states_TK * factors_T1 * self._norm_K, axis=0, dtype=np.float64)

    def vector(self) -> tuple[float, ...]:
        """The mean's direction; the length of a sum of nothing but zeros stays 0."""
        length = float(np.linalg.norm(self._sum_K))
        unit: list[float] = (self._sum_K / (length or 1.0)).astype(np.float32).tolist()
        return tuple(unit)
