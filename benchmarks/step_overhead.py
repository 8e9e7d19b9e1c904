"""What a step costs around the model: `python benchmarks/step_overhead.py [--json] [--streams 16] [--steps 100]`.

Microseconds of one thread's CPU time for scheduling, laying out the batch, taking in the logits and choosing tokens;
the model itself is replaced by logits that are always there. Medians, so that other programs matter little. "mixed"
steps also compute a chunk of a long prompt; "queued" ones have 100 more requests of 10 tenants waiting.
"""

import argparse
import json
import os
import statistics
import time
from typing import Any, cast

import numpy as np

from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.forward import Batch, Model
from bise.engine.sampling import SamplingParams
from bise.weights.spec import ModelSpec

SPEC = ModelSpec(
    vocab_size=32_768,
    hidden_size=64,
    num_layers=1,
    num_heads=1,
    num_kv_heads=1,
    head_dim=64,
    ffn_size=64,
    context_length=8192,
)


class ReadyLogits:
    """Stands where the model does."""

    def __init__(self) -> None:
        self.spec = SPEC
        self.logits = np.random.default_rng(0).normal(0, 3, (64, SPEC.vocab_size)).astype(np.float32)

    def forward(self, batch: Batch, _cache: object) -> Any:
        """The same logits for everybody."""
        return self.logits[: len(batch.logit_rows)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    figures: dict[str, object] = {"load_before": round(os.getloadavg()[0], 2)}
    for sampling, params in {
        "greedy": SamplingParams(temperature=0),
        "temperature 0.7": SamplingParams(seed=1),
        "top_p 0.9": SamplingParams(seed=1, top_p=0.9),
    }.items():
        for context in (100, 4000):
            for kind in ("decode", "mixed", "queued"):
                value = microseconds(params, context, kind, options.streams, options.steps)
                figures[f"{kind}, {sampling}, context {context}"] = value
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, shown in figures.items():
        print(f"{name:45} {shown:>8}")


def microseconds(params: SamplingParams, context: int, kind: str, num_streams: int, num_steps: int) -> float:
    """Median CPU time of a step."""
    num_sequences = num_streams + (kind == "mixed")
    engine = Engine(
        cast(Model, ReadyLogits()), EngineConfig(max_sequences=num_sequences, step_tokens=128, cache_bytes=1 << 26)
    )
    random = np.random.default_rng(0)
    for number in range(num_streams):
        engine.add_request(Request(str(number), random.integers(0, SPEC.vocab_size, context).tolist(), params))
    while len(engine.step()) < num_streams:
        pass
    if kind == "queued":
        for number in range(100):
            prompt = random.integers(0, SPEC.vocab_size, 500).tolist()
            engine.add_request(Request(f"waiting {number}", prompt, params, tenant=str(number % 10)))
    times = []
    for step in range(num_steps):
        if kind == "mixed" and step % 40 == 0:
            engine.cancel("long")
            engine.add_request(Request("long", random.integers(0, SPEC.vocab_size, 6000).tolist(), params))
        started = time.thread_time()
        engine.step()
        times.append(time.thread_time() - started)
    return round(statistics.median(times) * 1e6, 1)


if __name__ == "__main__":
    main()
