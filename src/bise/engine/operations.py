"""The forward pass operation by operation, with float activations: each kernel of the table in turn.

Matrices are packed once at load into the layout that the kernels stream through; integer weights stay integers. Large
products are divided among threads by output rows, which changes no result: each row is summed by one thread, in order.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.batch import Batch, RotaryTables
from bise.engine.cache import KVCache
from bise.engine.kernels.cells import PRECISIONS
from bise.engine.kernels.table import TILE, Floats, Kernels, pack_tiles
from bise.weights.files import Weights

# Below this many multiplications a product is done before a second thread has woken up (about 50 µs).
_THREADED_PRODUCT = 4_000_000


@dataclass(frozen=True)
class Matrix:
    """A weight matrix packed for the kernels, [N, K] before packing."""

    tiles: NDArray[Any]  # [ceil(N / 16), K, 16], float32 or int8
    scales: Floats | None  # [ceil(N / 16), K / group, 16], None for float weights


@dataclass(frozen=True)
class Layer:
    """One transformer block; matrices that read the same input are joined."""

    attention_norm: Floats
    query_key_value: Matrix
    attention_output: Matrix
    ffn_norm: Floats
    gate_up: Matrix
    down: Matrix


class OperationModel:
    """Packed weights and the threads that share large products."""

    def __init__(
        self, weights: Weights, kernels: Kernels, num_threads: int, threaded_product: int = _THREADED_PRODUCT
    ) -> None:
        self.spec = weights.spec
        self.kernels = kernels
        self.num_threads = num_threads
        self._threaded_product = threaded_product
        self._threads = ThreadPoolExecutor(self.num_threads - 1, "bise-matmul") if self.num_threads > 1 else None
        self._layers = [_load_layer(weights, f"layers.{i}.") for i in range(self.spec.num_layers)]
        self._norm = _vector(weights, "norm.weight")
        self._head = _pack(weights, "tok_embeddings.weight" if self.spec.tied_embeddings else "output.weight")
        self._rotary = RotaryTables(self.spec)

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def forward(self, hidden_TK: Floats, batch: Batch, cache: KVCache) -> Floats:
        """Run the layers on embedded tokens; returns logits [len(logit_rows), vocab_size]."""
        spec, precision, x_TK = self.spec, PRECISIONS.index(cache.precision), hidden_TK
        cosines, sines = self._rotary.up_to(int(batch.positions_T.max()))
        where = (batch.positions_T, batch.sequences_T, batch.blocks)
        for layer, cells in zip(self._layers, cache.cells, strict=True):
            normed = self._rms_norm(x_TK, layer.attention_norm)
            qkv = self._multiply(normed, layer.query_key_value)
            self.kernels.rotate_and_store(
                qkv, batch.positions_T, batch.slots_T, cosines, sines, spec.num_heads, cells, precision
            )
            attended = np.empty((len(x_TK), spec.num_heads * spec.head_dim), np.float32)
            self.kernels.attention(qkv, *where, cells, precision, spec.num_heads, spec.sliding_window or 0, attended)
            x_TK += self._multiply(attended, layer.attention_output)[:, : spec.hidden_size]
            normed = self._rms_norm(x_TK, layer.ffn_norm)
            gate_up = self._multiply(normed, layer.gate_up)
            gated = np.empty((len(x_TK), spec.ffn_size), np.float32)
            self.kernels.silu_gate(gate_up, gated)
            x_TK += self._multiply(gated, layer.down)[:, : spec.hidden_size]
        last = self._rms_norm(x_TK[batch.logit_rows], self._norm)
        return self._multiply(last, self._head)[:, : spec.vocab_size]

    def _rms_norm(self, x_TK: Floats, weight_K: Floats) -> Floats:
        out = np.empty_like(x_TK)
        self.kernels.rms_norm(x_TK, weight_K, self.spec.norm_eps, out)
        return out

    def _multiply(self, x_TK: Floats, matrix: Matrix) -> Floats:
        """`x @ weight.T`, [T, N rounded up to a multiple of 16]."""
        num_tiles = len(matrix.tiles)
        out = np.empty((len(x_TK), num_tiles * TILE), np.float32)
        if self._threads is None or out.size * x_TK.shape[1] < self._threaded_product:
            self._multiply_tiles(x_TK, matrix, 0, num_tiles, out)
            return out
        borders = [num_tiles * part // self.num_threads for part in range(self.num_threads + 1)]
        waiting = [
            self._threads.submit(self._multiply_tiles, x_TK, matrix, first, last, out)
            for first, last in pairwise(borders[1:])
        ]
        self._multiply_tiles(x_TK, matrix, borders[0], borders[1], out)
        for future in waiting:
            future.result()
        return out

    def _multiply_tiles(self, x_TK: Floats, matrix: Matrix, first: int, last: int, out: Floats) -> None:
        if matrix.scales is None:
            self.kernels.matmul_float(x_TK, matrix.tiles, first, last, out)
        else:
            self.kernels.matmul_int8(x_TK, matrix.tiles, matrix.scales, first, last, out)


def _load_layer(weights: Weights, prefix: str) -> Layer:
    attention, ffn = prefix + "attention.", prefix + "feed_forward."
    return Layer(
        attention_norm=_vector(weights, prefix + "attention_norm.weight"),
        query_key_value=_pack(weights, attention + "wq.weight", attention + "wk.weight", attention + "wv.weight"),
        attention_output=_pack(weights, attention + "wo.weight"),
        ffn_norm=_vector(weights, prefix + "ffn_norm.weight"),
        gate_up=_pack(weights, ffn + "w1.weight", ffn + "w3.weight"),
        down=_pack(weights, ffn + "w2.weight"),
    )


def _vector(weights: Weights, name: str) -> Floats:
    return weights.tensor(name).copy()  # kernels take arrays that may be written, which the mapped file is not


def _pack(weights: Weights, *names: str) -> Matrix:
    """Join matrices by rows and pack them; either all of a model's matrices are quantised or none."""
    if not weights.is_quantised(names[0]):
        return Matrix(pack_tiles(np.concatenate([weights.tensor(name) for name in names])), None)
    parts = [weights.quantised(name) for name in names]
    values = pack_tiles(np.concatenate([part.values for part in parts]))
    return Matrix(values, pack_tiles(np.concatenate([part.scales for part in parts]).astype(np.float32)))
