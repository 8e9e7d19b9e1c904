"""The fused path: models with integer weights, int8 activations, and a whole step in one compiled call per thread."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.engine.adapted import FusedAdapter, pack_adapter
from bise.engine.batch import Adapted, Batch, RotaryTables
from bise.engine.cache import KVCache
from bise.engine.kernels.attention import load_attend
from bise.engine.kernels.cells import PRECISIONS
from bise.engine.kernels.instructions import InstructionSet
from bise.engine.kernels.lora import PIECE
from bise.engine.kernels.packing import num_tiles, padded_columns
from bise.engine.kernels.phases import COUNTERS_BYTES, LAYER, NUM_PHASES, TASK
from bise.engine.kernels.prepare import PROBLEMS, load_prepare
from bise.engine.kernels.step import load_step, thread_scratch_bytes
from bise.engine.kernels.table import TILE, Floats
from bise.engine.operations import joined_bias
from bise.engine.packed import PackedMatrices, PackedMatrix
from bise.engine.pool import Pool
from bise.weights.adapters import AdapterWeights
from bise.weights.files import Weights
from bise.weights.rope import query_scales
from bise.weights.spec import router_name

_PRODUCT_FLOATS = 1 << 16  # of a thread's products at once, so that they stay in its second cache
_ALIGNMENT = 64


class FusedModel:
    """Packed weights, the threads, and the memory that a step works in."""

    def __init__(
        self, weights: Weights, instruction_set: InstructionSet, num_threads: int, least_shared_bytes: int
    ) -> None:
        spec = self.spec = weights.spec
        self._wide = instruction_set.name == "avx512"
        self._packed: list[NDArray[Any]] = []  # keeps alive what the records below point to
        self._layers = np.zeros(spec.num_layers, LAYER)
        matrices = PackedMatrices(weights)
        for index in range(spec.num_layers):
            self._load_layer(weights, matrices, index)
        self._tasks = np.zeros(1, TASK)
        self._task = self._tasks[0]
        self._memory: dict[str, NDArray[Any]] = {}
        self._capacity = 0  # tokens
        self._low_bytes = 0
        self._rotary = RotaryTables(spec)
        run, isa, tasks, layers = load_step(instruction_set.name), instruction_set, self._tasks, self._layers
        self._pool = Pool(num_threads, lambda thread, control: int(run(isa, thread, control, tasks, layers)))
        self._prepare = load_prepare()
        self._set_model(weights, matrices, num_threads)
        matrices.finish()
        self._least_shared_bytes = least_shared_bytes
        self._packed_bytes = sum(array.nbytes for array in self._packed)

    def close(self) -> None:
        """End the threads."""
        self._pool.close()

    def pack_adapter(self, adapter: AdapterWeights) -> FusedAdapter:
        """Read an adapter for use in batches."""
        return pack_adapter(adapter, self.spec)

    def forward(self, hidden_TK: Floats, batch: Batch, cache: KVCache) -> Floats:
        """Run the layers on embedded tokens; returns logits [len(logit_rows), vocab_size]."""
        task = self._task
        tokens = len(hidden_TK)
        self._reserve(tokens)
        self._set_cache(cache)
        self._memory["hidden"][: hidden_TK.size] = hidden_TK.reshape(-1)
        logits = np.empty((len(batch.logit_rows), int(task["num_head_tiles"]) * TILE), np.float32)
        rows = np.ascontiguousarray(batch.logit_rows, np.int64)
        fields = (batch.positions_T, batch.sequences_T, batch.slots_T, batch.blocks)
        problem = self._prepare(self._tasks, *fields, cache.num_blocks, rows, logits)
        assert problem == 0, f"The batch cannot run: {PROBLEMS[problem - 1]}."
        cosines, sines = self._rotary.up_to(int(batch.positions_T.max()))
        task["cosines"], task["sines"] = _address(cosines), _address(sines)
        scales_T = query_scales(batch.positions_T, self.spec.rope_scaling)
        task["query_scales"] = 0 if scales_T is None else _address(scales_T)
        pieces = self._set_adapters(batch.adapted, tokens)
        self._pool.run(alone=self._packed_bytes * tokens < self._least_shared_bytes)
        del pieces  # the threads have read them
        return logits[:, : self.spec.vocab_size]

    def states(self, start: int, stop: int) -> Floats:
        """The residual stream after the last layer, of some of the last step's tokens."""
        width = self.spec.hidden_size
        return self._memory["hidden"][start * width : stop * width].reshape(-1, width)

    def _load_layer(self, weights: Weights, matrices: PackedMatrices, index: int) -> None:
        prefix = f"layers.{index}."
        attention, layer = prefix + "attention.", self._layers[index]
        layer["attention_norm"] = self._keep(_vector(weights, prefix + "attention_norm.weight"))
        layer["ffn_norm"] = self._keep(_vector(weights, prefix + "ffn_norm.weight"))
        joined = [attention + name for name in ("wq.weight", "wk.weight", "wv.weight")]
        layer["query_key_value"], layer["query_key_value_bits"] = self._keep_matrix(matrices.joined(joined))
        spec = weights.spec
        bias = joined_bias(weights, index, (spec.num_heads + 2 * spec.num_kv_heads) * spec.head_dim)
        if bias is not None:
            layer["query_key_value_bias"] = self._keep(bias)
        if spec.qk_norm:
            layer["query_norm"] = self._keep(_vector(weights, attention + "q_norm.weight"))
            layer["key_norm"] = self._keep(_vector(weights, attention + "k_norm.weight"))
        layer["window"], layer["is_rotated"] = spec.layer_window(index) or 0, index not in spec.unrotated_layers
        layer["output"], layer["output_bits"] = self._keep_matrix(matrices.joined([attention + "wo.weight"]))
        addresses = []
        for network in spec.networks(index):
            gate_up = matrices.in_turn(network + "w1.weight", network + "w3.weight")
            layer["gate_up"], layer["gate_up_bits"] = self._keep_matrix(gate_up)
            layer["down"], layer["down_bits"] = self._keep_matrix(matrices.joined([network + "w2.weight"]))
            addresses.append((layer["gate_up"], layer["down"]))
        if spec.num_experts:
            layer["router"] = self._keep(_vector(weights, router_name(index)))
            layer["experts"] = self._keep(np.array(addresses, np.int64))

    def _set_model(self, weights: Weights, matrices: PackedMatrices, num_threads: int) -> None:
        spec, task = self.spec, self._task
        for name in (
            "num_layers",
            "hidden_size",
            "num_heads",
            "num_kv_heads",
            "head_dim",
            "ffn_size",
            "num_experts",
            "experts_per_token",
        ):
            task[name] = getattr(spec, name)
        task["norm_epsilon"], task["attention_scale"] = spec.norm_eps, spec.head_dim**-0.5
        task["final_norm"] = self._keep(_vector(weights, "norm.weight"))
        name = "tok_embeddings.weight" if spec.tied_embeddings else "output.weight"
        task["head"], task["head_bits"] = self._keep_matrix(matrices.joined([name]))
        task["num_head_tiles"] = num_tiles(spec.vocab_size)
        task["num_threads"] = num_threads
        task["control"] = self._pool.address
        task["counters"] = self._allocate("counters", COUNTERS_BYTES * (NUM_PHASES * spec.num_layers + 2))

    def _set_cache(self, cache: KVCache) -> None:
        cells, task = cache.cells, self._task
        task["precision"] = PRECISIONS.index(cache.precision)
        task["attend"] = load_attend(cache.precision, self._wide)
        task["cells"] = _address(cells)
        task["layer_bytes"], task["block_bytes"], task["cell_bytes"] = cells.strides[:3]

    def _set_adapters(self, adapted: tuple[Adapted, ...], num_tokens: int) -> tuple[NDArray[np.int64], ...]:
        """Enter the pieces of each adapter's tokens into the task; the result must live as long as the step."""
        task = self._task
        task["num_pieces"] = 0
        if not adapted:
            return ()
        pieces, first, columns = [], 0, 0
        for one in adapted:
            assert isinstance(one.adapter, FusedAdapter)
            last = first + len(one.tokens)
            address = _address(one.adapter.records)
            pieces += [(address, start, min(PIECE, last - start)) for start in range(first, last, PIECE)]
            first, columns = last, max(columns, 3 * one.adapter.rank)
        table = np.array(pieces, np.int64)
        tokens = np.concatenate([one.tokens for one in adapted]).astype(np.int64)
        assert ((tokens >= 0) & (tokens < num_tokens)).all(), "An adapter is for a token that is not in the batch."
        if 4 * num_tokens * columns > self._low_bytes:
            self._low_bytes = 4 * max(num_tokens, self._capacity) * columns
            task["low"] = self._allocate("low", self._low_bytes)
        task["num_pieces"], task["low_columns"] = len(table), columns
        task["pieces"], task["adapted"] = _address(table), _address(tokens)
        return table, tokens

    def _reserve(self, tokens: int) -> None:
        """Have memory for a step of so many tokens."""
        if tokens <= self._capacity:
            return
        spec, task, attended = self.spec, self._task, self.spec.num_heads * self.spec.head_dim
        self._capacity = tokens = max(tokens, 2 * self._capacity)
        floats = {"hidden": spec.hidden_size, "queries": attended, "attended": attended, "query_tiles": 4}
        for name, columns in floats.items():
            task[name] = self._allocate(name, 4 * tokens * columns)
        routed = tokens * max(1, spec.experts_per_token)
        activations = [
            ("normed", spec.hidden_size, tokens),
            ("mixed", attended, tokens),
            ("gated", spec.ffn_size, routed),
        ]
        if spec.num_experts:
            activations.append(("gathered", spec.hidden_size, routed))
            self._reserve_routes(tokens, routed)
        for name, columns, count in activations:
            padded = padded_columns(columns)
            task[name] = self._allocate(name, (count + 1) * padded)
            task[name + "_scales"] = self._allocate(name + "_scales", (count + 1) * padded // 8)
            task[name + "_offsets"] = self._allocate(name + "_offsets", (count + 1) * padded // 8)
        product_floats = max(_PRODUCT_FLOATS, tokens * max(64, 2 * spec.head_dim))
        scratch_bytes = -(-thread_scratch_bytes(product_floats, spec.head_dim) // 4096) * 4096 + _ALIGNMENT
        task["product_floats"], task["scratch_bytes"] = product_floats, scratch_bytes
        task["scratch"] = self._allocate("scratch", scratch_bytes * int(task["num_threads"]))

    def _reserve_routes(self, tokens: int, routed: int) -> None:
        """Memory for which experts compute which tokens: words of 8 bytes, and floats."""
        experts = self.spec.num_experts
        words = {"chosen": routed, "place_tokens": routed, "expert_starts": experts + 1, "places": experts}
        for name, count in words.items():
            self._task[name] = self._allocate(name, 8 * count)
        for name, count in {"router_logits": tokens * experts, "shares": routed, "place_shares": routed}.items():
            self._task[name] = self._allocate(name, 4 * count)

    def _allocate(self, name: str, size_bytes: int) -> int:
        """Zeroed floats that begin at a cache line; returns their address."""
        memory = np.zeros(size_bytes + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        self._memory[name] = memory[start : start + size_bytes].view(np.float32)
        return _address(self._memory[name])

    def _keep(self, array: NDArray[Any]) -> int:
        self._packed.append(array)
        return _address(array)

    def _keep_matrix(self, matrix: PackedMatrix) -> tuple[int, int]:
        return self._keep(matrix.data), matrix.bits


def _vector(weights: Weights, name: str) -> Floats:
    return np.array(weights.tensor(name))  # aligned and in memory, which the mapped file is not


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
