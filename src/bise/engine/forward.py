"""The model's forward pass over a ragged batch: any tokens of any sequences, each with its place and its cache.

A model with integer weights takes the fused path where the processor has the instructions for it: its activations are
rounded to int8 and a step is one compiled call per thread. Everything else runs operation by operation with float
activations: float weights, shapes that do not fit, other processors, and whoever asks for exactness.
"""

from typing import Literal, Protocol

from bise.engine.batch import Adapted as Adapted
from bise.engine.batch import Batch as Batch
from bise.engine.batch import PackedAdapter
from bise.engine.cache import KVCache
from bise.engine.embedding import MeanState
from bise.engine.kernels.table import Floats, Kernels
from bise.engine.operations import OperationModel
from bise.hardware import usable_cores
from bise.weights.adapters import AdapterWeights
from bise.weights.files import Weights
from bise.weights.spec import ModelSpec

Activations = Literal["int8", "float32"]
# Weights times tokens below which the threads of the fused path would wait for each other longer than they help.
_LEAST_SHARED_BYTES = 16 << 20
_FUSED_GROUP = 32  # columns that share a scale, in weights and activations


class _Path(Protocol):
    """One of the two ways to run the layers."""

    def forward(self, hidden_TK: Floats, batch: Batch, cache: KVCache) -> Floats:
        """Run the layers and the head on embedded tokens; returns logits [len(logit_rows), vocab_size]."""

    def pack_adapter(self, adapter: AdapterWeights) -> PackedAdapter:
        """Read an adapter for use in batches."""

    def states(self, start: int, stop: int) -> Floats:
        """The residual stream after the last layer, of some of the last step's tokens; valid until the next step."""

    def close(self) -> None:
        """End the threads."""


class Model:
    """A model ready to run: packed weights and threads."""

    def __init__(
        self,
        weights: Weights,
        kernels: Kernels,
        num_threads: int | None = None,
        activations: Activations = "int8",
        least_shared_bytes: int = _LEAST_SHARED_BYTES,
    ) -> None:
        self.spec = weights.spec
        self.kernels = kernels
        self.num_threads = num_threads or usable_cores()
        self.is_fused = activations == "int8" and kernels.instruction_set is not None and can_fuse(self.spec)
        weights.check_tensor("tok_embeddings.weight")
        self._weights = weights
        self._path: _Path
        if self.is_fused:
            from bise.engine.fused import FusedModel  # needs numba

            assert kernels.instruction_set is not None
            self._path = FusedModel(weights, kernels.instruction_set, self.num_threads, least_shared_bytes)
        else:
            self._path = OperationModel(weights, kernels, self.num_threads)

    def close(self) -> None:
        """End the threads."""
        self._path.close()

    def pack_adapter(self, adapter: AdapterWeights) -> PackedAdapter:
        """Read an adapter for use in batches of this model; any thread may.

        Raises:
            InputError: it holds values that are not numbers.
        """
        return self._path.pack_adapter(adapter)

    def forward(self, batch: Batch, cache: KVCache) -> Floats:
        """Run one step: fill the cache at the batch's slots and return logits [len(logit_rows), vocab_size]."""
        return self._path.forward(self._weights.rows("tok_embeddings.weight", batch.token_ids_T), batch, cache)

    def states(self, start: int, stop: int) -> Floats:
        """The residual stream after the last layer, [stop - start, hidden_size], of some of the last step's tokens.

        Valid until the next step.
        """
        return self._path.states(start, stop)

    def mean_state(self) -> MeanState:
        """An empty mean of this model's final states."""
        return MeanState(self._weights.tensor("norm.weight").copy(), self.spec.norm_eps)


def can_fuse(spec: ModelSpec) -> bool:
    """Whether the fused path knows this shape; the others run operation by operation."""
    quantisation = spec.quantisation
    return quantisation is not None and quantisation.group_size == _FUSED_GROUP and spec.head_dim % 16 == 0
