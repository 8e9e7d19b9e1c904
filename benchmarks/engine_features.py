"""What the engine's features cost or gain, each against our own plain decoding: `python -m benchmarks.engine_features`.

A model of 1.1 billion parameters with random 4-bit weights, made in memory, through the whole engine. With and without
take turns in one process; a share is the median of the ratios of neighbouring turns, with 10th and 90th percentile.

    lookup_gain         tokens a second of one answer that copies its prompt, another token for every 25th, as a multiple
                        of those without speculation; at least 1.8
    lookup_nothing      the same of an answer with nothing to copy: random tokens; at least 0.97
    lookup_misleading   the same of random tokens of eight kinds, so that what is guessed never lasts
    draft_gain          tokens a second of one answer for which a model of two such layers guesses, as a multiple of those
                        without; four of five guesses are right
    draft_misleading    the same where none is
    grammar_overhead    share of the tokens a second of one answer that is lost when it must be JSON of a schema with
                        nothing to jump over; at most 0.1
    schema_first_token_ms  milliseconds until a schema is compiled and the first tokens are known, over the schemas of
                        tests/engine/schemas.py; at most 50 for the median
    adapters_8_share    tokens a second of 8 answers at once with 8 different adapters (rank 16, all seven matrices of
                        every layer), as a share of those without; at least 0.7
    moe_bytes_share     milliseconds of a step for one answer of a mixture (8 experts of the same size in each of 8
                        layers, 2 for a token), as a multiple of what its bytes take at the memory's measured speed:
                        those of the chosen experts, the other matrices and the cache; at most 1.3
    dense_bytes_share   the same of the dense model of those layers, whose two sides take turns with the mixture's: what
                        the products alone take beyond the bytes

`--only` names parts: lookup, draft, grammars, adapters, mixture.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.alternating import machine_facts, spread
from benchmarks.engine_step import RandomWeights
from benchmarks.random_model import ONE_BILLION, SMALL, vocabulary
from bise.engine.batch import Batch
from bise.engine.bench import step_bytes
from bise.engine.cache import KVCache
from bise.engine.core import Engine, EngineConfig, Request
from bise.engine.forward import Model
from bise.engine.grammar import Grammars, schema_grammar
from bise.engine.kernels.table import Floats, choose_kernels
from bise.engine.peaks import read_bandwidth
from bise.engine.requests import AdapterRef, Constraint
from bise.engine.sampling import Ids, SamplingParams
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.tekken import CONTROL_TOKENS, write_tekken
from bise.weights.adapter import TARGETS, AdapterSpec
from bise.weights.adapters import AdapterWeights
from bise.weights.spec import ModelSpec, Quantisation
from tests.engine.schemas import real_world_like

TURNS = 5
# Of a tenth of a second each, since the memory's speed changes with what else the machine's host does.
MIXTURE_TURNS = 15
PROMPT = 48  # tokens
STEPS = 16  # of a turn, after those that read the prompts
CONFIG = EngineConfig(adapter_bytes=1 << 30, cache_bytes=1 << 30, prefix_sharing=False, speculation=False)


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
    parser.add_argument("--only", nargs="+", choices=[*PARTS, "mixture"], default=[*PARTS, "mixture"])
    options = parser.parse_args()
    spec = replace(SMALL if options.small else ONE_BILLION, quantisation=Quantisation(4, 32))
    model = Model(RandomWeights(spec), choose_kernels().kernels)
    report: dict[str, Any] = machine_facts() | {"load_before": os.getloadavg()[0], "threads": model.num_threads}
    for part, measure in PARTS.items():
        report |= measure(model) if part in options.only else {}
    model.close()
    if "mixture" in options.only:
        report |= measure_mixture(replace(spec, num_layers=min(8, spec.num_layers)))
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


def measure_mixture(dense: ModelSpec) -> dict[str, Any]:
    """Decode one answer of a mixture of experts and of its dense model, in turns with reading memory."""
    specs = {"moe": replace(dense, num_experts=8, experts_per_token=2), "dense": dense}
    engines = {
        name: Engine(Model(RandomWeights(spec), choose_kernels().kernels), CONFIG) for name, spec in specs.items()
    }
    needed = {name: step_bytes(spec, PROMPT + STEPS / 2) for name, spec in specs.items()}
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in specs}
    for _ in range(MIXTURE_TURNS + 1):
        for name, engine in engines.items():
            bandwidth = statistics.median(read_bandwidth(engine.model.num_threads))
            rates[name].append((bandwidth, decode_rate(engine, [None])))
    report: dict[str, Any] = {}
    for name, engine in engines.items():
        engine.model.close()
        turns = rates[name][1:]
        report |= {
            f"{name}_bytes_share": spread([bandwidth / rate / needed[name] for bandwidth, rate in turns], 3),
            f"{name}_tokens_per_s": spread([rate for _, rate in turns], 1),
            f"{name}_step_mb": round(needed[name] / 1e6),
        }
    sizes = specs["moe"].matrix_shapes().values()
    return report | {
        "moe_model_mb": round(sum(rows * columns for rows, columns in sizes) * 0.5625 / 1e6),
        "memory_gb_per_s": spread([bandwidth / 1e9 for bandwidth, _ in rates["moe"][1:]], 1),
    }


class ScriptedModel:
    """A model that computes everything and then finds the tokens of a text the likeliest."""

    def __init__(self, model: Model, text: Ids) -> None:
        self._model = model
        self._text = text
        self.spec = model.spec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def forward(self, batch: Batch, cache: KVCache) -> Floats:
        logits = self._model.forward(batch, cache)
        rows = np.arange(len(logits))
        logits[rows, self._text[batch.positions_T[batch.logit_rows] + 1]] = 1e6
        return logits


def measure_lookup(model: Model, prompt: int = 120, answer: int = 100) -> dict[str, Any]:
    """Answers that copy, that have nothing to copy, and that seem to."""
    random = np.random.default_rng(0)
    many, few = (random.integers(0, count, prompt + answer + 1) for count in (model.spec.vocab_size, 8))
    copying = np.concatenate((many[:prompt], many[: answer + 1]))
    copying[prompt + 24 :: 25] = random.integers(0, model.spec.vocab_size, len(copying[prompt + 24 :: 25]))
    report: dict[str, Any] = {}
    for name, text in {"lookup_gain": copying, "lookup_nothing": many, "lookup_misleading": few}.items():
        scripted = cast(Model, ScriptedModel(model, text))
        request = Request("x", text[:prompt].tolist(), SamplingParams(temperature=0, max_tokens=answer))
        rates = [[answer_rate(scripted, request, on) for on in (False, True)] for _ in range(TURNS + 1)][1:]
        report[name] = spread([on / off for off, on in rates], 3)
    return report


def measure_draft(model: Model, prompt: int = 48, answer: int = 100) -> dict[str, Any]:
    """An answer for which a smaller model guesses."""
    smaller = Model(RandomWeights(replace(model.spec, num_layers=2)), choose_kernels().kernels)
    random = np.random.default_rng(0)
    text = random.integers(0, model.spec.vocab_size, prompt + answer + 1)
    request = Request("x", text[:prompt].tolist(), SamplingParams(temperature=0, max_tokens=answer))
    scripted, report = cast(Model, ScriptedModel(model, text)), {}
    for name, share in {"draft_gain": 0.2, "draft_misleading": 1.0}.items():
        wrong = np.where(random.random(len(text)) < share, (text + 1) % model.spec.vocab_size, text)
        draft = cast(Model, ScriptedModel(smaller, wrong))
        rates = [[answer_rate(scripted, request, False, d) for d in (None, draft)] for _ in range(TURNS + 1)][1:]
        report[name] = spread([on / off for off, on in rates], 3)
    smaller.close()
    return report


def answer_rate(model: Model, request: Request, speculation: bool, draft: Model | None = None) -> float:
    """Tokens a second of one whole answer, from its first token on."""
    engine = Engine(model, replace(CONFIG, speculation=speculation), draft)
    engine.add_request(request)
    while not (outputs := engine.step()):
        pass
    started, num_tokens = time.perf_counter(), 0
    while not engine.is_idle:
        outputs = engine.step()
        num_tokens += sum(len(output.token_ids) for output in outputs)
    return num_tokens / (time.perf_counter() - started)


def measure_grammars(model: Model) -> dict[str, Any]:
    """Decode one answer with a grammar and without, and compile many."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "tekken.json"
        write_tekken(vocabulary(model.spec.vocab_size - len(CONTROL_TOKENS)), path)
        grammars = Grammars(ChatTokenizer.load(path), model.spec.vocab_size)
    matcher = grammars.matcher(schema_grammar({"type": "string", "minLength": 10_000}))
    engine = Engine(model, CONFIG)
    rates = [(decode_rate(engine, [None]), decode_rate(engine, [None], matcher)) for _ in range(TURNS + 1)][1:]
    first_ms = []
    for grammar in map(schema_grammar, real_world_like()):
        started = time.perf_counter()
        grammars.matcher(grammar).allowed()
        first_ms.append(1000 * (time.perf_counter() - started))
    return {
        "grammar_overhead": spread([1 - with_grammar / without for without, with_grammar in rates], 3),
        "grammar_tokens_per_s": spread([with_grammar for _, with_grammar in rates], 1),
        "plain_1_tokens_per_s": spread([without for without, _ in rates], 1),
        "schema_first_token_ms": spread(first_ms, 2),
    }


def decode_rate(engine: Engine, adapters: list[AdapterRef | None], constraint: Constraint | None = None) -> float:
    """Tokens a second of as many answers at once, once their prompts have been read."""
    vocabulary = engine.model.spec.vocab_size
    params = SamplingParams(temperature=0)  # cancelled below: the first must still run when the last begins
    for number, adapter in enumerate(adapters):
        prompt = np.random.default_rng(number).integers(0, vocabulary, PROMPT).tolist()
        engine.add_request(Request(str(number), prompt, params, adapter=adapter), constraint)
    while len(engine.step()) < len(adapters):
        pass
    started, num_tokens = time.perf_counter(), 0
    for _ in range(STEPS):
        num_tokens += sum(len(output.token_ids) for output in engine.step())
    rate = num_tokens / (time.perf_counter() - started)
    for number in range(len(adapters)):
        engine.cancel(str(number))
    return rate


PARTS: Mapping[str, Callable[[Model], dict[str, Any]]] = {
    "lookup": measure_lookup,
    "draft": measure_draft,
    "grammars": measure_grammars,
    "adapters": measure_adapters,
}


if __name__ == "__main__":
    main()
