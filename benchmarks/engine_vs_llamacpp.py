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

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import Side, load_before, spread
from benchmarks.engine_peers import correlation, finish, parse_options, take_turns, tell
from benchmarks.random_model import ONE_BILLION, SMALL, make_gguf, make_model
from bise.engine.bench import step_bytes
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
    options = parse_options(__doc__, WORKLOADS, 9, "llama-cpp-python and gguf")
    spec, files = (SMALL, options.files / "small") if options.small else (ONE_BILLION, options.files / "1.1b")
    model, gguf = make_model(files, spec), make_gguf(files, spec, options.peers_python)
    threads = str(options.threads)
    ours = Side("Bise", [sys.executable, str(HERE / "bise_side.py"), str(model), threads])
    theirs = Side("llama.cpp", [options.peers_python, str(HERE / "llamacpp_side.py"), str(gguf), threads])
    report: dict[str, Any] = {"load_before": load_before()}
    report["logits_correlation"] = correlation(ours, theirs)
    for name in options.only or WORKLOADS:
        report |= compare(name, read_spec(model), ours, theirs, options.rounds)
    finish(report, ours, theirs, options)


def compare(name: str, spec: ModelSpec, ours: Side, theirs: Side, rounds: int) -> dict[str, Any]:
    """The ratio of one workload, and the rates it comes from."""
    shape = dict(WORKLOADS[name])
    steps = shape.pop("steps")
    settings = {side.name: side.ask(do="prepare", shape=shape)["settings"] for side in (ours, theirs)}
    tokens = shape["prompt"] or shape["sequences"] * steps
    memory = []

    def rate(side: Side) -> float:
        return tokens / float(side.ask(do="measure", steps=steps)["seconds"])

    def read_memory() -> None:
        if name == "decode_1":
            memory.append(ours.ask(do="bandwidth")["bytes_per_s"])

    ratio, found = take_turns(ours, theirs, rounds, rate, read_memory)
    report: dict[str, Any] = {name: ratio, f"{name}_rates": found, f"{name}_settings": settings}
    if memory:
        delivered = spread([value / 1e9 for value in memory])
        needed = step_bytes(spec, CONTEXT + steps / 2) / 1e9
        report["bandwidth_share"] = round(found["Bise"]["median"] * needed / delivered["median"], 3)
        report |= {"memory_gb_per_s": delivered, "step_gb": round(needed, 4)}
    tell(name, ratio, found)
    return report


if __name__ == "__main__":
    main()
