"""Our engine and llama.cpp on the same model and processor: `python benchmarks/engine_vs_llamacpp.py [--json]`.

The model is of the Mistral architecture, 1.1 billion random parameters, made from a seed (once; 4 GB of disk) and
rounded to 4 bits by each in its own way: ours as `bise pull --bits 4`, llama.cpp's as Q4_0. Both run in processes of
their own that take turns: first ours, then theirs, in every round, and the one that waits uses no processor time.
llama.cpp runs with the settings that are the fastest here for each workload. `BISE_PEERS_PYTHON` names a Python with
llama-cpp-python, built natively (CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --no-binary llama-cpp-python), and gguf.

    decode_1, decode_8, decode_16   one more token for 1, 8, 16 sequences of 112 tokens; ratio of tokens a second
    decode_ctx2000                  one more token for a sequence of 2000
    prefill_512                     a prompt of 512 tokens in one step
    bandwidth_share                 bytes that our decode_1 reads a second over what the memory delivers, read in turns
    logits_correlation              of both engines after the same prompt: far from 0 if both compute the same model, and
                                    below 1 because each rounds the weights in its own way, layer upon layer

Ratios are of medians over the rounds; rates are tokens a second with their 10th and 90th percentile.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import Side, load_average, load_before, machine_facts, spread
from benchmarks.random_model import ONE_BILLION, SMALL, make_gguf, make_model
from bise.config import cache_home
from bise.engine.bench import step_bytes
from bise.engine.machine import usable_cores
from bise.weights.spec import ModelSpec, read_spec

HERE = Path(__file__).parent
CONTEXT = 112  # tokens; both engines use blocks or cells of their own size, which this fits
WORKLOADS: dict[str, dict[str, int]] = {
    "decode_1": {"sequences": 1, "context": CONTEXT, "prompt": 0, "steps": 16},
    "decode_8": {"sequences": 8, "context": CONTEXT, "prompt": 0, "steps": 8},
    "decode_16": {"sequences": 16, "context": CONTEXT, "prompt": 0, "steps": 6},
    "prefill_512": {"sequences": 1, "context": 0, "prompt": 512, "steps": 1},
    "decode_ctx2000": {"sequences": 1, "context": 2000, "prompt": 0, "steps": 8},
}


def main() -> None:
    """Make the models, take turns, print."""
    options = parse_options()
    spec, files = (SMALL, options.files / "small") if options.small else (ONE_BILLION, options.files / "1.1b")
    model, gguf = make_model(files, spec), make_gguf(files, spec, options.peers_python)
    threads = str(options.threads)
    ours = Side("Bise", [sys.executable, str(HERE / "bise_side.py"), str(model), threads])
    theirs = Side("llama.cpp", [options.peers_python, str(HERE / "llamacpp_side.py"), str(gguf), threads])
    report: dict[str, Any] = {"load_before": load_before()}
    report["logits_correlation"] = correlation(ours, theirs)
    for name in options.only or WORKLOADS:
        report |= compare(name, read_spec(model), ours, theirs, options.rounds)
    report |= {
        "idle_share": {side.name: round(side.idle_share, 3) for side in (ours, theirs)},
        "load_after": load_average(),
        "threads": options.threads,
        "machine": machine_facts() | theirs.ask(do="versions")["versions"],
    }
    for side in (ours, theirs):
        side.close()
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:20} {v}" for k, v in report.items()))


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--only", nargs="+", choices=list(WORKLOADS))
    parser.add_argument("--small", action="store_true", help="a small model, to try the benchmark itself")
    parser.add_argument("--files", type=Path, default=cache_home() / "benchmarks", help="where the models are kept")
    parser.add_argument("--peers-python", default=os.environ.get("BISE_PEERS_PYTHON"))
    options = parser.parse_args()
    if options.peers_python is None:
        parser.error("Set BISE_PEERS_PYTHON to a Python that has llama-cpp-python and gguf.")
    return options


def compare(name: str, spec: ModelSpec, ours: Side, theirs: Side, rounds: int) -> dict[str, Any]:
    """The ratio of one workload, and the rates it comes from."""
    shape = dict(WORKLOADS[name])
    steps = shape.pop("steps")
    settings = {side.name: side.ask(do="prepare", shape=shape)["settings"] for side in (ours, theirs)}
    tokens = shape["prompt"] or shape["sequences"] * steps
    rates: dict[str, list[float]] = {"Bise": [], "llama.cpp": []}
    memory = []
    for _ in range(rounds):
        for side in (ours, theirs):
            rates[side.name].append(tokens / side.ask(do="measure", steps=steps)["seconds"])
        if name == "decode_1":
            memory.append(ours.ask(do="bandwidth")["bytes_per_s"])
    found = {side: spread(values) for side, values in rates.items()}
    ratio = round(found["Bise"]["median"] / found["llama.cpp"]["median"], 3)
    report: dict[str, Any] = {name: ratio, f"{name}_rates": found, f"{name}_settings": settings}
    if memory:
        delivered = spread([value / 1e9 for value in memory])
        needed = step_bytes(spec, CONTEXT + steps / 2) / 1e9
        report["bandwidth_share"] = round(found["Bise"]["median"] * needed / delivered["median"], 3)
        report |= {"memory_gb_per_s": delivered, "step_gb": round(needed, 4)}
    print(f"{name}: {ratio} ({found})", file=sys.stderr, flush=True)
    return report


def correlation(ours: Side, theirs: Side) -> float:
    """Of the logits after one prompt."""
    ids = np.random.default_rng(7).integers(1000, 30_000, 40).tolist()
    logits = [side.ask(do="logits", ids=ids)["logits"] for side in (ours, theirs)]
    return round(float(np.corrcoef(*logits)[0, 1]), 4)


if __name__ == "__main__":
    main()
