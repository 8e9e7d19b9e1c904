"""What choosing a token costs: `python benchmarks/sampling.py [--json] [--draws 100]`.

Microseconds of one thread's CPU time for one sequence, by vocabulary, by how sure the model is, and by what the request
asks for. Medians, so that other programs matter little. A step of 16 sequences pays this 16 times.
"""

import argparse
import json
import os
import statistics
import time

import numpy as np
from numpy.typing import NDArray

from bise.engine.sampling import Sampler, SamplingParams

CASES: dict[str, SamplingParams] = {
    "greedy": SamplingParams(temperature=0),
    "temperature": SamplingParams(seed=1),
    "top_p": SamplingParams(seed=1, top_p=0.9),
    "top_k": SamplingParams(seed=1, top_k=50),
    "min_p": SamplingParams(seed=1, min_p=0.05),
    "penalties": SamplingParams(seed=1, repetition_penalty=1.1, presence_penalty=0.5, frequency_penalty=0.2),
    "logprobs": SamplingParams(seed=1, logprobs=5),
    "everything": SamplingParams(
        seed=1,
        top_p=0.9,
        top_k=50,
        min_p=0.01,
        repetition_penalty=1.1,
        presence_penalty=0.5,
        frequency_penalty=0.2,
        logit_bias=((3, 5.0),),
        logprobs=5,
    ),
}
SURENESS = {"sure": 3.0, "unsure": 0.3}  # standard deviation of the logits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--draws", type=int, default=100)
    options = parser.parse_args()
    figures: dict[str, object] = {"load_before": round(os.getloadavg()[0], 2)}
    for vocab_size in (32_768, 131_072):
        for sureness, spread in SURENESS.items():
            logits = np.random.default_rng(0).normal(0, spread, vocab_size).astype(np.float32)
            for name, params in CASES.items():
                figures[f"{name}, {vocab_size} tokens, {sureness}"] = microseconds(params, logits, options.draws)
    if options.json:
        print(json.dumps(figures, indent=2))
        return
    for name, value in figures.items():
        print(f"{name:38} {value:>8}")


def microseconds(params: SamplingParams, logits_V: NDArray[np.float32], num_draws: int) -> float:
    """Median CPU time of a draw, with a prompt of 2000 tokens in the history."""
    prompt = np.random.default_rng(1).integers(0, len(logits_V), 2000).tolist()
    sampler = Sampler(params, prompt)
    times = []
    for _ in range(num_draws):
        started = time.thread_time()
        sampler.draw(logits_V)
        times.append(time.thread_time() - started)
    return round(statistics.median(times) * 1e6, 1)


if __name__ == "__main__":
    main()
