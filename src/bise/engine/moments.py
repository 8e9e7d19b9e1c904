"""What meets the columns of a model's matrices when it reads a text: second moments, by groups of columns.

Rounding changes a product by the changes of the weights times their inputs. With these moments it can see to it that the
product changes least. The model runs through the engine, window by window, and each product's input is looked at.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from bise.engine.agreement import WINDOW, check_memory, whole_logits
from bise.engine.forward import Model
from bise.engine.kernels.table import Floats, Kernels
from bise.engine.operations import PRODUCTS
from bise.errors import InputError
from bise.weights.files import Weights
from bise.weights.tensors import GROUP_SIZE

_FLOOR = 0.01  # of a group's mean square: what a short text does not reach still counts a little
_LEAST = np.float32(1e-9)


def measure_moments(
    weights: Weights, ids: Sequence[int], kernels: Kernels, progress: Callable[[int, int], None] | None = None
) -> dict[str, Floats]:
    """The mean outer square of what meets each group of columns, [groups, 32, 32], by the matrix's name.

    Embeddings are not multiplied, and have none.

    Raises:
        InputError: the text is too short, or the model does not fit into memory in float32.
    """
    if len(ids) < WINDOW:
        raise InputError(
            f"The text to calibrate on has {len(ids)} tokens. Give one of at least {WINDOW}, like what the model is for."
        )
    assert weights.spec.quantisation is None, "only floats are rounded"
    check_memory("To be calibrated", weights)
    inputs = _Inputs(weights)
    model = Model(weights, replace(kernels, matmul_float=inputs.watching(kernels)), activations="float32")
    try:
        for start in range(0, len(ids), WINDOW):
            window = ids[start : start + WINDOW]
            whole_logits(model, window)
            if progress is not None:
                progress(start + len(window), len(ids))
    finally:
        model.close()
    return dict(inputs.means())


def _products(weights: Weights) -> Iterator[tuple[str, ...]]:
    """The matrices of each product, in the order in which a forward pass multiplies."""
    for layer in range(weights.spec.num_layers):
        for names in PRODUCTS.values():
            yield tuple(f"layers.{layer}.{name}.weight" for name in names)
    yield () if weights.spec.tied_embeddings else ("output.weight",)


class _Inputs:
    """Sums over what every product was given."""

    def __init__(self, weights: Weights) -> None:
        self._products = list(_products(weights))
        shapes = weights.spec.tensor_shapes()
        columns = [shapes[names[0]][1] if names else weights.spec.hidden_size for names in self._products]
        self._sums = [np.zeros((n // GROUP_SIZE, GROUP_SIZE, GROUP_SIZE), np.float32) for n in columns]
        self._num_tokens = 0
        self._next = 0

    def watching(self, kernels: Kernels) -> Callable[[Floats, Floats, int, int, Floats], None]:
        """The product of floats, whose inputs are counted."""

        def matmul(x_TK: Floats, tiles: Floats, first: int, last: int, out_TN: Floats) -> None:
            if first == 0:  # one thread's part of each product begins there
                self._count(x_TK)
            kernels.matmul_float(x_TK, tiles, first, last, out_TN)

        return matmul

    def _count(self, x_TK: Floats) -> None:
        x_GTJ = x_TK.reshape(len(x_TK), -1, GROUP_SIZE).transpose(1, 0, 2)
        self._sums[self._next] += x_GTJ.transpose(0, 2, 1) @ x_GTJ
        self._num_tokens += len(x_TK) if self._next == 0 else 0
        self._next = (self._next + 1) % len(self._sums)

    def means(self) -> Iterator[tuple[str, Floats]]:
        """The moments of each matrix; those of one product share theirs."""
        for names, sums in zip(self._products, self._sums, strict=True):
            means = sums / np.float32(self._num_tokens)
            own = np.einsum("gjj->g", means) / GROUP_SIZE
            means += (np.float32(_FLOOR) * own + _LEAST)[:, None, None] * np.eye(GROUP_SIZE, dtype=np.float32)
            yield from ((name, means) for name in names)
