"""The engine's step by itself: `python benchmarks/engine_step.py [--json] [--threads N] [--bits 4] [--kv fp16]`.

A model of 1.1 billion parameters with random packed weights, made in memory; no file and no peer. Rates are medians of
several blocks with their 10th and 90th percentile, tokens per second, and the gigabytes of weights and keys and values
that the tokens made the engine read each second.

    decode_1 .. decode_16    one token of so many sequences, each with 112 tokens before it
    prefill_512              a prompt
    decode_ctx2000           one token after 2,000 others
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.random_model import ONE_BILLION, SMALL
from bise.engine.cache import KVCache, bytes_per_block
from bise.engine.forward import Batch, Model
from bise.engine.kernels.table import BLOCK, choose_kernels
from bise.weights.files import Weights
from bise.weights.spec import ModelSpec, Quantisation
from bise.weights.tensors import QuantisedTensor

ROUNDS = 9
WORKLOADS = {  # sequences, tokens before, tokens of each in a step, steps in a block
    "decode_1": (1, 112, 1, 16),
    "decode_4": (4, 112, 1, 8),
    "decode_8": (8, 112, 1, 6),
    "decode_16": (16, 112, 1, 4),
    "prefill_512": (1, 0, 512, 1),
    "decode_ctx2000": (1, 2000, 1, 12),
}


class RandomWeights(Weights):
    """Weights that are drawn when they are asked for; matrices of the same shape are the same."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(Path("random"), spec, {})
        self._drawn: dict[tuple[int, ...], QuantisedTensor] = {}

    def tensor(self, name: str) -> Any:
        shape = self.spec.tensor_shapes()[name]
        if len(shape) == 2:  # a router, which is to choose different experts
            return np.random.default_rng(2).standard_normal(shape, np.float32)
        return np.ones(shape, np.float32)

    def quantised(self, name: str) -> QuantisedTensor:
        shape, bits = self.spec.tensor_shapes()[name], self.spec.matrix_bits(name) or 8
        if (*shape, bits) not in self._drawn:
            largest = 1 << (bits - 1)
            values = np.random.default_rng(0).integers(1 - largest, largest, shape, np.int8)
            scales = np.full((shape[0], shape[1] // 32), 0.05 / largest, np.float16)
            self._drawn[*shape, bits] = QuantisedTensor(values, scales, bits)
        return self._drawn[*shape, bits]

    def rows(self, name: str, rows: Any) -> Any:  # noqa: ARG002
        return np.random.default_rng(1).standard_normal((len(rows), self.spec.hidden_size)).astype(np.float32)

    def check_tensor(self, name: str) -> None:
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--bits", type=int, choices=[4, 8], default=4)
    parser.add_argument("--kv", choices=["fp16", "int8"], default="fp16")
    parser.add_argument("--small", action="store_true", help="a model of two layers, to try things")
    parser.add_argument("--only", nargs="*", choices=list(WORKLOADS), default=list(WORKLOADS))
    options = parser.parse_args()
    spec = replace(SMALL if options.small else ONE_BILLION, quantisation=Quantisation(options.bits, 32))
    model = Model(RandomWeights(spec), choose_kernels().kernels, options.threads)
    report: dict[str, Any] = {"load": os.getloadavg()[0], "threads": model.num_threads, "fused": model.is_fused}
    report |= {name: measure(model, options.kv, *WORKLOADS[name]) for name in options.only}
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:16} {value}")


def measure(model: Model, precision: Any, sequences: int, context: int, tokens: int, steps: int) -> dict[str, float]:
    """Rates of one workload."""
    blocks_each = -(-(context + tokens) // BLOCK)
    cache = KVCache(model.spec, sequences * blocks_each, precision)
    blocks = np.random.default_rng(0).permutation(sequences * blocks_each).astype(np.int32).reshape(sequences, -1)
    for start in range(0, context, 256):
        model.forward(make_batch(blocks, start, min(256, context - start)), cache)
    batch = make_batch(blocks, context, tokens)
    model.forward(batch, cache)
    rates = []
    for _ in range(ROUNDS if tokens == 1 else ROUNDS // 2):
        started = time.perf_counter()
        for _ in range(steps):
            model.forward(batch, cache)
        rates.append(sequences * tokens * steps / (time.perf_counter() - started))
    rates.sort()
    median = statistics.median(rates)
    read = weight_bytes(model.spec) + sequences * context / BLOCK * bytes_per_block(model.spec, precision)
    return {
        "tokens_per_s": round(median, 1),
        "p10": round(rates[len(rates) // 10], 1),
        "p90": round(rates[-1 - len(rates) // 10], 1),
        "gb_per_s": round(median / (sequences * tokens) * read / 1e9, 1),
    }


def weight_bytes(spec: ModelSpec) -> float:
    """Bytes of all matrices but the embeddings, with their scales."""
    shapes = {name: shape for name, shape in spec.tensor_shapes().items() if len(shape) == 2}
    del shapes["tok_embeddings.weight"]
    return sum(shape[0] * shape[1] * ((spec.matrix_bits(name) or 32) / 8 + 1 / 16) for name, shape in shapes.items())


def make_batch(blocks: Any, start: int, count: int) -> Batch:
    """`count` tokens of every sequence from place `start`; the logits of each sequence's last are wanted."""
    sequences = np.repeat(np.arange(len(blocks), dtype=np.int32), count)
    positions = np.tile(np.arange(start, start + count, dtype=np.int32), len(blocks))
    slots = (blocks[sequences, positions // BLOCK] * BLOCK + positions % BLOCK).astype(np.int32)
    return Batch(positions, positions, sequences, slots, blocks, np.arange(count - 1, len(sequences), count))


if __name__ == "__main__":
    main()
