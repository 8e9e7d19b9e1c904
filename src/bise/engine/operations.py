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

from bise.engine.batch import Adapted, Batch, RotaryTables, identity_tables
from bise.engine.cache import KVCache
from bise.engine.kernels.cells import PRECISIONS
from bise.engine.kernels.table import TILE, Floats, Kernels, pack_tiles
from bise.weights.adapters import AdapterWeights
from bise.weights.files import Weights
from bise.weights.rope import query_scales
from bise.weights.spec import router_name

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
    bias: Floats | None  # of queries, keys and values, padded as their product
    head_norms: tuple[Floats, Floats] | None  # of each head's query and key
    window: int  # tokens that a token sees; 0 for all
    is_rotated: bool
    attention_output: Matrix
    ffn_norm: Floats
    router: Matrix | None  # of experts
    gate_up: tuple[Matrix, ...]  # of each expert; one where there are none
    down: tuple[Matrix, ...]


# The matrices of each product, one below the other, in the order in which a layer multiplies.
PRODUCTS = {
    "query_key_value": ("attention.wq", "attention.wk", "attention.wv"),
    "attention_output": ("attention.wo",),
    "gate_up": ("feed_forward.w1", "feed_forward.w3"),
    "down": ("feed_forward.w2",),
}


@dataclass(frozen=True)
class AdaptedRows:
    """What an adapter adds to some rows of a product: `scale * B (A x)`, the scale being in B."""

    a: Matrix
    b: Matrix
    rank: int
    rows: slice


@dataclass(frozen=True)
class OperationAdapter:
    """An adapter for the operations: the parts of each product of each layer, by the product's name in `Layer`."""

    layers: tuple[dict[str, list[AdaptedRows]], ...]

    @property
    def size_bytes(self) -> int:
        """Memory that it takes."""
        parts = [part for layer in self.layers for parts in layer.values() for part in parts]
        return sum(part.a.tiles.nbytes + part.b.tiles.nbytes for part in parts)


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
        self._layers = [_load_layer(weights, index) for index in range(self.spec.num_layers)]
        self._norm = _vector(weights, "norm.weight")
        self._head = _pack(weights, "tok_embeddings.weight" if self.spec.tied_embeddings else "output.weight")
        self._rotary = RotaryTables(self.spec)
        self._states = np.empty((0, self.spec.hidden_size), np.float32)  # after the last layer, of the last step

    def pack_adapter(self, adapter: AdapterWeights) -> OperationAdapter:
        """Read an adapter for use in batches."""
        shapes = self.spec.tensor_shapes()
        layers = []
        for index in range(self.spec.num_layers):
            layer: dict[str, list[AdaptedRows]] = {}
            for product, matrices in PRODUCTS.items():
                end = 0
                for name in (f"layers.{index}.{matrix}" for matrix in matrices):
                    if f"{name}.weight" not in shapes:  # experts have none
                        continue
                    start, end = end, end + shapes[f"{name}.weight"][0]
                    if (pair := adapter.pair(name)) is not None:
                        a, b = pack_tiles(pair[0]), pack_tiles(pair[1] * np.float32(adapter.spec.scale))
                        part = AdaptedRows(Matrix(a, None), Matrix(b, None), adapter.spec.rank, slice(start, end))
                        layer.setdefault(product, []).append(part)
            layers.append(layer)
        return OperationAdapter(tuple(layers))

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.shutdown()

    def forward(self, hidden_TK: Floats, batch: Batch, cache: KVCache) -> Floats:
        """Run the layers on embedded tokens; returns logits [len(logit_rows), vocab_size]."""
        spec, precision, x_TK = self.spec, PRECISIONS.index(cache.precision), hidden_TK
        turned = (batch.positions_T, batch.slots_T, *self._rotary.up_to(int(batch.positions_T.max())))
        unturned = (np.zeros_like(batch.positions_T), batch.slots_T, *identity_tables(spec.head_dim))
        scales_T = query_scales(batch.positions_T, spec.rope_scaling)
        where = (batch.positions_T, batch.sequences_T, batch.blocks)
        for index, (layer, cells) in enumerate(zip(self._layers, cache.cells, strict=True)):
            qkv = self._project(self._rms_norm(x_TK, layer.attention_norm), index, batch.adapted)
            rotation = turned if layer.is_rotated else unturned
            self.kernels.rotate_and_store(qkv, *rotation, spec.num_heads, cells, precision)
            if scales_T is not None:
                qkv[:, : spec.num_heads * spec.head_dim] *= scales_T[:, None]
            attended = np.empty((len(x_TK), spec.num_heads * spec.head_dim), np.float32)
            self.kernels.attention(qkv, *where, cells, precision, spec.num_heads, layer.window, attended)
            added = self._adapted_product(attended, index, "attention_output", batch.adapted)
            x_TK += added[:, : spec.hidden_size]
            normed = self._rms_norm(x_TK, layer.ffn_norm)
            if layer.router is None:
                x_TK += self._feed_forward(normed, index, batch.adapted)
            else:
                x_TK += self._mix_experts(normed, index, layer.router)
        self._states = x_TK
        last = self._rms_norm(x_TK[batch.logit_rows], self._norm)
        return self._multiply(last, self._head)[:, : spec.vocab_size]

    def _project(self, normed_TK: Floats, index: int, adapted: tuple[Adapted, ...]) -> Floats:
        """Queries, keys and values, with their biases and norms, before rotation."""
        spec, layer = self.spec, self._layers[index]
        qkv = self._adapted_product(normed_TK, index, "query_key_value", adapted)
        if layer.bias is not None:
            qkv += layer.bias
        if layer.head_norms is not None:
            first, borders = 0, (spec.num_heads, spec.num_heads + spec.num_kv_heads)
            for weight, last in zip(layer.head_norms, borders, strict=True):
                columns = slice(first * spec.head_dim, last * spec.head_dim)
                heads = np.ascontiguousarray(qkv[:, columns]).reshape(-1, spec.head_dim)
                qkv[:, columns] = self._rms_norm(heads, weight).reshape(len(qkv), -1)
                first = last
        return qkv

    def _feed_forward(self, normed_TK: Floats, index: int, adapted: tuple[Adapted, ...], expert: int = 0) -> Floats:
        """silu(gate) * up, and its product with the output matrix."""
        gate_up = self._adapted_product(normed_TK, index, "gate_up", adapted, expert)
        gated = np.empty((len(normed_TK), self.spec.ffn_size), np.float32)
        self.kernels.silu_gate(gate_up, gated)
        return self._adapted_product(gated, index, "down", adapted, expert)[:, : self.spec.hidden_size]

    def _mix_experts(self, normed_TK: Floats, index: int, router: Matrix) -> Floats:
        """The outputs of each token's experts, by the softmax of their logits (arXiv 2401.04088)."""
        spec = self.spec
        logits_TE = self._multiply(normed_TK, router)[:, : spec.num_experts]
        chosen = np.argsort(-logits_TE, axis=1, kind="stable")[:, : spec.experts_per_token]
        largest = np.take_along_axis(logits_TE, chosen, axis=1)
        shares = np.exp(largest - largest[:, :1])
        shares /= shares.sum(axis=1, keepdims=True)
        mixed = np.zeros_like(normed_TK)
        for expert in range(spec.num_experts):
            tokens, ranks = np.nonzero(chosen == expert)
            if len(tokens):
                output = self._feed_forward(normed_TK[tokens], index, (), expert)
                mixed[tokens] += shares[tokens, ranks, None] * output
        return mixed

    def states(self, start: int, stop: int) -> Floats:
        """The residual stream after the last layer, of some of the last step's tokens."""
        return self._states[start:stop]

    def _rms_norm(self, x_TK: Floats, weight_K: Floats) -> Floats:
        out = np.empty_like(x_TK)
        self.kernels.rms_norm(x_TK, weight_K, self.spec.norm_eps, out)
        return out

    def _adapted_product(
        self, x_TK: Floats, layer: int, product: str, adapted: tuple[Adapted, ...], expert: int = 0
    ) -> Floats:
        """A matrix's product, and what adapters add to it (arXiv 2106.09685)."""
        matrices = getattr(self._layers[layer], product)
        out = self._multiply(x_TK, matrices[expert] if isinstance(matrices, tuple) else matrices)
        for one in adapted:
            assert isinstance(one.adapter, OperationAdapter)
            for part in one.adapter.layers[layer].get(product, ()):
                low = self._multiply(x_TK[one.tokens], part.a)[:, : part.rank]
                rows = part.rows.stop - part.rows.start
                out[one.tokens, part.rows] += self._multiply(np.ascontiguousarray(low), part.b)[:, :rows]
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


def _load_layer(weights: Weights, index: int) -> Layer:
    spec, prefix = weights.spec, f"layers.{index}."
    attention = prefix + "attention."
    query_key_value = _pack(weights, attention + "wq.weight", attention + "wk.weight", attention + "wv.weight")
    return Layer(
        attention_norm=_vector(weights, prefix + "attention_norm.weight"),
        query_key_value=query_key_value,
        bias=joined_bias(weights, index, len(query_key_value.tiles) * TILE),
        head_norms=_head_norms(weights, attention) if spec.qk_norm else None,
        window=spec.layer_window(index) or 0,
        is_rotated=index not in spec.unrotated_layers,
        attention_output=_pack(weights, attention + "wo.weight"),
        ffn_norm=_vector(weights, prefix + "ffn_norm.weight"),
        router=_pack(weights, router_name(index)) if spec.num_experts else None,
        gate_up=tuple(_pack(weights, n + "w1.weight", n + "w3.weight") for n in spec.networks(index)),
        down=tuple(_pack(weights, n + "w2.weight") for n in spec.networks(index)),
    )


def joined_bias(weights: Weights, layer: int, columns: int) -> Floats | None:
    """The biases of queries, keys and values side by side, with zeros up to so many columns; None without any."""
    if not weights.spec.attention_bias:
        return None
    parts = [weights.tensor(f"layers.{layer}.attention.{name}.bias") for name in ("wq", "wk", "wv")]
    joined = np.zeros(columns, np.float32)
    joined[: sum(map(len, parts))] = np.concatenate(parts)
    return joined


def _head_norms(weights: Weights, attention: str) -> tuple[Floats, Floats]:
    return _vector(weights, attention + "q_norm.weight"), _vector(weights, attention + "k_norm.weight")


def _vector(weights: Weights, name: str) -> Floats:
    return weights.tensor(name).copy()  # kernels take arrays that may be written, which the mapped file is not


def _pack(weights: Weights, *names: str) -> Matrix:
    """Join matrices by rows and pack them; either all of them are quantised or none."""
    if not weights.is_quantised(names[0]):
        return Matrix(pack_tiles(np.concatenate([weights.tensor(name) for name in names])), None)
    parts = [weights.quantised(name) for name in names]
    values = pack_tiles(np.concatenate([part.values for part in parts]))
    return Matrix(values, pack_tiles(np.concatenate([part.scales for part in parts]).astype(np.float32)))
