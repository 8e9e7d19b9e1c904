"""The model's forward pass over a ragged batch: any tokens of any sequences, each with its place and its cache.

Matrices are packed once at load into the layout that the kernels stream through; integer weights stay integers. Large
products are divided among threads by output rows, which changes no result: each row is summed by one thread, in order.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.cache import KVCache
from bise.engine.kernels.table import TILE, Floats, Ints, Kernels, pack_tiles
from bise.engine.machine import usable_cores
from bise.weights.files import Weights

# Below this many multiplications a product is done before a second thread has woken up (about 50 µs).
_THREADED_PRODUCT = 4_000_000


@dataclass(frozen=True)
class Batch:
    """The tokens of one step."""

    token_ids_T: Ints
    positions_T: Ints  # place of each token in its sequence
    sequences_T: Ints  # row of `blocks` that each token belongs to
    slots_T: Ints  # where in the cache its keys and values go: block * 16 + place
    blocks: Ints  # [S, most blocks] each sequence's cache blocks, in order
    logit_rows: NDArray[np.intp]  # the tokens whose logits are wanted


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


class Model:
    """A model ready to run: packed weights, rotary tables and the threads that share large products."""

    def __init__(
        self,
        weights: Weights,
        kernels: Kernels,
        num_threads: int | None = None,
        threaded_product: int = _THREADED_PRODUCT,
    ) -> None:
        self.spec = weights.spec
        self.kernels = kernels
        self.num_threads = num_threads or usable_cores()
        self._threaded_product = threaded_product
        self._threads = ThreadPoolExecutor(self.num_threads - 1, "bise-matmul") if self.num_threads > 1 else None
        self._embeddings = _embedding_rows(weights)
        self._layers = [_load_layer(weights, f"layers.{i}.") for i in range(self.spec.num_layers)]
        self._norm = _vector(weights, "norm.weight")
        self._head = _pack(weights, "tok_embeddings.weight" if self.spec.tied_embeddings else "output.weight")
        self._rotary = rotary_tables(0, self.spec.head_dim, self.spec.rope_theta)

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def forward(self, batch: Batch, cache: KVCache) -> Floats:
        """Run one step: fill the cache at the batch's slots and return logits [len(logit_rows), vocab_size]."""
        spec = self.spec
        cosines, sines = self._rotary_tables(int(batch.positions_T.max()))
        x_TK = self._embeddings(batch.token_ids_T)
        for index, layer in enumerate(self._layers):
            normed = self._rms_norm(x_TK, layer.attention_norm)
            qkv = self._multiply(normed, layer.query_key_value)
            keys, values = cache.keys[index], cache.values[index]
            self.kernels.rotate_and_store(
                qkv, batch.positions_T, batch.slots_T, cosines, sines, spec.num_heads, keys, values
            )
            attended = np.empty((len(x_TK), spec.num_heads * spec.head_dim), np.float32)
            self.kernels.attention(qkv, batch.positions_T, batch.sequences_T, batch.blocks, keys, values, attended)
            x_TK += self._multiply(attended, layer.attention_output)[:, : spec.hidden_size]
            normed = self._rms_norm(x_TK, layer.ffn_norm)
            gate_up = self._multiply(normed, layer.gate_up)
            gated = np.empty((len(x_TK), spec.ffn_size), np.float32)
            self.kernels.silu_gate(gate_up, gated)
            x_TK += self._multiply(gated, layer.down)[:, : spec.hidden_size]
        last = self._rms_norm(x_TK[batch.logit_rows], self._norm)
        return self._multiply(last, self._head)[:, : spec.vocab_size]

    def _rotary_tables(self, last_position: int) -> tuple[Floats, Floats]:
        """Tables that reach the position; they grow by doubling, so that a long context costs nothing until used."""
        if last_position >= len(self._rotary[0]):
            length = max(1024, 1 << last_position.bit_length())
            self._rotary = rotary_tables(length, self.spec.head_dim, self.spec.rope_theta)
        return self._rotary

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


def rotary_tables(length: int, head_dim: int, theta: float) -> tuple[Floats, Floats]:
    """Cosines and sines, each [length, head_dim / 2], of position times frequency (arXiv 2104.09864)."""
    frequencies = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    angles = np.outer(np.arange(length), frequencies)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


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


def _embedding_rows(weights: Weights) -> Callable[[Ints], Floats]:
    """A function from token ids to their embeddings, read from the mapped file row by row."""
    weights.check_tensor("tok_embeddings.weight")
    return lambda ids: weights.rows("tok_embeddings.weight", ids)
