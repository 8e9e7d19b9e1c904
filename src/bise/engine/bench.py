"""How fast a model runs on this machine, beside what the machine could do at most; for `bise bench`.

The requests go through the whole engine, sampling included, with random prompts that share nothing. One answer at a
time is bound by reading every weight once a token; a prompt, or many answers, by arithmetic.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bise import __version__
from bise.engine.core import Engine, EngineConfig
from bise.engine.energy import Meter, Price
from bise.engine.forward import Model
from bise.engine.kernels.table import Progress, choose_kernels
from bise.engine.machine import describe_machine
from bise.engine.peaks import integer_peak, read_bandwidth
from bise.engine.requests import Request
from bise.engine.sampling import SamplingParams
from bise.weights.files import Weights, open_weights
from bise.weights.spec import ModelSpec

BATCHES = (1, 8, 16)
CONTEXT = 112  # tokens before the measured ones
PROMPT = 512  # tokens of the measured prompts


@dataclass(frozen=True)
class Rate:
    """Tokens a second over the steps that were timed."""

    median: float
    p10: float
    p90: float
    steps: int


@dataclass(frozen=True)
class Measured:
    """Steps that were timed: new or prompt tokens and seconds of each, and what they took together."""

    steps: list[tuple[int, float]]
    meter: Meter

    def rate(self) -> Rate:
        """Tokens a second."""
        ordered = sorted(tokens / seconds for tokens, seconds in self.steps)
        median, last = statistics.median(ordered), len(ordered) - 1
        low, high = (ordered[round(last * share)] for share in (0.1, 0.9))
        return Rate(round(median, 1), round(low, 1), round(high, 1), len(ordered))

    @property
    def tokens(self) -> int:
        """Of all steps."""
        return sum(tokens for tokens, _ in self.steps)


def bench(
    directory: Path, seconds: float, price: Price, say: Callable[[str], None], progress: Progress
) -> dict[str, Any]:
    """Measure everything, about `seconds` for each rate; the figures are ready for JSON.

    Raises:
        InputError: there is no such model, or it is damaged.
    """
    weights = open_weights(directory)
    choice = choose_kernels(progress)
    model = Model(weights, choice.kernels)
    engine = Engine(model, EngineConfig(prefix_sharing=False, speculation=False))
    measured = {}
    try:
        for count in BATCHES:
            say(f"Writing {count} answer{'s' if count > 1 else ''} at once.")
            measured[f"decode_{count}"] = _decode(engine, count, seconds, price)
        say("Reading prompts.")
        measured["prefill"] = _prefill(engine, seconds, price)
    finally:
        model.close()
    say("Measuring what the machine can do at most.")
    rates = {name: each.rate() for name, each in measured.items()}
    return {
        "model": _about(directory, weights),
        "tokens_per_s": {name: asdict(rate) for name, rate in rates.items()},
        **_limits(model, rates, measured["decode_1"]),
        "per_million_tokens": {name: price.of(each.meter, each.tokens) for name, each in measured.items()},
        "energy_method": price.method,
        "machine": _machine(model),
    }


def step_bytes(spec: ModelSpec, context: float, cache_bits: int = 16) -> float:
    """Bytes that a step for one sequence must read: every matrix once (of the embeddings a row) and the cache."""
    bits = {None: 16.0, 4: 4 + 16 / 32, 8: 8 + 16 / 32}  # with their share of a scale
    weights = sum(bits[spec.matrix_bits(name)] / 8 * rows * columns for name, (rows, columns) in _read_matrices(spec))
    return weights + context * 2 * spec.num_layers * spec.num_kv_heads * spec.head_dim * cache_bits / 8


def token_operations(spec: ModelSpec) -> int:
    """Multiplications and additions of a token's products with the matrices, counted apart; attention left out."""
    return 2 * sum(rows * columns for _, (rows, columns) in _read_matrices(spec))


def _read_matrices(spec: ModelSpec) -> Sequence[tuple[str, tuple[int, int]]]:
    """The matrices that a token multiplies with; of a mixture, as many experts' as it has."""
    shapes = spec.matrix_shapes()
    if not spec.tied_embeddings:
        del shapes["tok_embeddings.weight"]
    spared = {
        network + matrix
        for layer in range(spec.num_layers)
        for network in spec.networks(layer)[max(1, spec.experts_per_token) :]
        for matrix in ("w1.weight", "w2.weight", "w3.weight")
    }
    return [(name, shape) for name, shape in shapes.items() if name not in spared]


def _decode(engine: Engine, count: int, seconds: float, price: Price) -> Measured:
    """Steps that write one token for each of `count` answers, until the time is over or the context full."""
    context = min(CONTEXT, engine.max_length // 2)
    names = [f"decode-{index}" for index in range(count)]
    for name in names:
        engine.add_request(_request(engine, name, context, engine.max_length - context - 1))
    begun: set[str] = set()
    while len(begun) < count:
        begun |= {output.request_id for output in engine.step()}
    engine.step()
    steps: list[tuple[int, float]] = []
    with price.meter() as meter:
        while not engine.is_idle and sum(took for _, took in steps) < seconds:
            steps.append(_timed_step(engine))
    for name in names:
        engine.cancel(name)
    return Measured([step for step in steps if step[0] == count], meter)


def _prefill(engine: Engine, seconds: float, price: Price) -> Measured:
    """Prompts one after the other, each until its first token is drawn."""
    length = min(PROMPT, engine.max_length - 2)
    prompts: list[tuple[int, float]] = []
    with price.meter() as meter:
        while len(prompts) < 3 or sum(took for _, took in prompts) < seconds:
            engine.add_request(_request(engine, f"prompt-{len(prompts)}", length, 1))
            began = time.perf_counter()
            while not engine.is_idle:
                engine.step()
            prompts.append((length, time.perf_counter() - began))
    return Measured(prompts, meter)


def _request(engine: Engine, name: str, length: int, answer: int) -> Request:
    """A prompt of random tokens, answered greedily to the end."""
    ids = np.random.default_rng(list(name.encode())).integers(0, engine.model.spec.vocab_size, length)
    return Request(name, ids.tolist(), SamplingParams(temperature=0, max_tokens=answer))


def _timed_step(engine: Engine) -> tuple[int, float]:
    began = time.perf_counter()
    outputs = engine.step()
    return sum(len(output.token_ids) for output in outputs), time.perf_counter() - began


def _limits(model: Model, rates: dict[str, Rate], decode: Measured) -> dict[str, Any]:
    """The machine's limits, and the share of each that the engine reaches."""
    spec, num_threads, isa = model.spec, model.num_threads, model.kernels.instruction_set
    needed = step_bytes(spec, CONTEXT + len(decode.steps) / 2)
    delivered = statistics.median(read_bandwidth(num_threads))
    found: dict[str, Any] = {
        "bytes_per_token": round(needed),
        "memory_bytes_per_s": round(delivered),
        "memory_share_of_decode_1": round(rates["decode_1"].median * needed / delivered, 3),
        "operations_per_token": token_operations(spec),
    }
    if isa is not None:
        peak = statistics.median(integer_peak(isa, num_threads))
        found["int8_operations_per_s"] = round(peak)
        found["peak_share_of_prefill"] = round(rates["prefill"].median * token_operations(spec) / peak, 3)
    return found


def _about(directory: Path, weights: Weights) -> dict[str, Any]:
    quantisation = weights.spec.quantisation
    return {
        "name": directory.name,
        "parameters": weights.spec.num_parameters(),
        "bits": quantisation.bits if quantisation else None,
        "file_bytes": weights.path.stat().st_size,
    }


def _machine(model: Model) -> dict[str, Any]:
    machine, isa = describe_machine(), model.kernels.instruction_set
    return {
        "processor": machine.processor,
        "instruction_set": isa.name if isa else None,
        "kernels": model.kernels.name,
        "path": "fused, int8 activations" if model.is_fused else "by operation, float activations",
        "threads": model.num_threads,
        "system": platform.platform(),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"bise": __version__, "python": platform.python_version()}
        | {name: version(name) for name in ("numba", "numpy")},
    }
