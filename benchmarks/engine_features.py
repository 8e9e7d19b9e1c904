"""What the engine's features cost or gain, each against our own plain decoding: `python -m benchmarks.engine_features`.

A model of 1.1 billion parameters with random 4-bit weights, made in memory, through the whole engine. With and without
take turns in one process; a share is the median of the ratios of neighbouring turns, with 10th and 90th percentile.

    adapters_8_share    tokens a second of 8 answers at once with 8 different adapters (rank 16, all seven matrices of
                        every layer), as a share of those without; at least 0.7
"""

import argparse
import json
import os
import time
from dataclasses import replace
from typing import Any, cast

import numpy as np

from benchmarks.alternating import machine_facts, spread
from benchmarks.engine_step import RandomWeights
from benchmarks.random_model import ONE_BILLION, SMALL
from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.forward import Model
from bise.engine.kernels.table import Floats, choose_kernels
from bise.engine.requests import AdapterRef
from bise.engine.sampling import SamplingParams
from bise.weights.adapter import TARGETS, AdapterSpec
from bise.weights.adapters import AdapterWeights
from bise.weights.spec import ModelSpec, Quantisation

TURNS = 9
PROMPT = 112  # tokens
STEPS = 24  # of a turn, after those that read the prompts
CONFIG = EngineConfig(adapter_bytes=1 << 30, cache_bytes=1 << 30, prefix_sharing=False)


class RandomAdapter:
    """An adapter that is drawn when it is asked for."""

    def __init__(self, model: ModelSpec, rank: int, seed: int) -> None:
        self.spec = AdapterSpec(rank, 2.0 * rank, TARGETS)
        self._shapes = model.tensor_shapes()
        self._random = np.random.default_rng(seed)

    def pair(self, matrix: str) -> tuple[Floats, Floats]:
        rows, columns = self._shapes[f"{matrix}.weight"]
        a = self._random.standard_normal((self.spec.rank, columns), np.float32) * np.float32(columns**-0.5)
        return a, self._random.standard_normal((rows, self.spec.rank), np.float32) * np.float32(1e-3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--small", action="store_true", help="a model of two layers, to try things")
    options = parser.parse_args()
    spec = replace(SMALL if options.small else ONE_BILLION, quantisation=Quantisation(4, 32))
    model = Model(RandomWeights(spec), choose_kernels().kernels)
    report: dict[str, Any] = machine_facts() | {"load_before": os.getloadavg()[0], "threads": model.num_threads}
    report |= measure_adapters(model)
    report["load_after"] = os.getloadavg()[0]
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:20} {value}")


def measure_adapters(model: Model, count: int = 8, rank: int = 16) -> dict[str, Any]:
    """Decode that many answers with as many adapters and with none."""
    engine = Engine(model, CONFIG)
    for number in range(count):
        adapter = cast(AdapterWeights, RandomAdapter(model.spec, rank, number))
        assert engine.adapters.add(str(number), model.pack_adapter(adapter))
    plain: list[AdapterRef | None] = [None] * count
    adapted: list[AdapterRef | None] = [AdapterRef(str(number), "") for number in range(count)]
    rates = [(decode_rate(engine, plain), decode_rate(engine, adapted)) for _ in range(TURNS + 1)][1:]
    return {
        "adapters_8_share": spread([with_adapters / without for without, with_adapters in rates], 3),
        "adapters_8_tokens_per_s": spread([with_adapters for _, with_adapters in rates], 1),
        "plain_8_tokens_per_s": spread([without for without, _ in rates], 1),
        "adapter_mb": round(engine.adapters.size_bytes / count / 1e6, 1),
    }


def decode_rate(engine: Engine, adapters: list[AdapterRef | None]) -> float:
    """Tokens a second of as many answers at once, once their prompts have been read."""
    vocabulary = engine.model.spec.vocab_size
    params = SamplingParams(temperature=0, max_tokens=STEPS + 4)
    for number, adapter in enumerate(adapters):
        prompt = np.random.default_rng(number).integers(0, vocabulary, PROMPT).tolist()
        engine.add_request(Request(str(number), prompt, params, adapter=adapter))
    while len(engine.step()) < len(adapters):
        pass
    started, num_tokens = time.perf_counter(), 0
    for _ in range(STEPS):
        num_tokens += sum(len(output.token_ids) for output in engine.step())
    rate = num_tokens / (time.perf_counter() - started)
    for number in range(len(adapters)):
        engine.cancel(str(number))
    return rate


if __name__ == "__main__":
    main()
