"""Our engine and OpenVINO GenAI on the same model and processor: `python benchmarks/engine_vs_openvino.py [--json]`.

The model is that of `engine_vs_llamacpp.py`, 1.1 billion random parameters. OpenVINO's has 4 bits in every matrix, too,
symmetric, in groups of 128 and of 32; it is exported and rounded by OpenVINO's own tools, once (a few minutes, 12 GB of
memory). Both sides run whole: requests go in, a step plans, computes and draws greedily. They take turns in
processes of their own, first ours, then theirs. OpenVINO runs its ContinuousBatchingPipeline with the weights and
properties that are the fastest here for each workload, and keeps keys and values in 8 bits, as it chooses by itself;
ours keeps them in 16. `BISE_PEERS_PYTHON` names a Python that has it; docs/engine.md says how to make one.

    decode_1, decode_8, decode_16   one more token for 1, 8, 16 answers to prompts of 112 tokens; ratio of tokens a second
    prefill_512                     a prompt of 512 tokens until its first answered token
    logits_correlation              of both engines after the same prompt: far from 0 if both compute the same model, and
                                    below 1 because each rounds the weights in its own way, layer upon layer

Ratios are of medians over the rounds; rates are tokens a second with their 10th and 90th percentile.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.alternating import Side, load_before
from benchmarks.engine_peers import correlation, finish, parse_options, take_turns, tell
from benchmarks.random_model import ONE_BILLION, SMALL, make_floats, make_model
from bise.weights.spec import ModelSpec

HERE = Path(__file__).parent
GROUP_SIZES = (128, 32)  # weights that share a scale: as OpenVINO rounds unless told otherwise, and as Bise does
WORKLOADS: dict[str, dict[str, int]] = {
    "decode_1": {"prompts": 1, "length": 112, "steps": 16},
    "decode_8": {"prompts": 8, "length": 112, "steps": 8},
    "decode_16": {"prompts": 16, "length": 112, "steps": 6},
    "prefill_512": {"prompts": 1, "length": 512, "steps": 0},
}


def main() -> None:
    """Make the models, take turns, print."""
    options = parse_options(__doc__, WORKLOADS, 7, "openvino-genai, optimum-intel and nncf")
    spec, files = (SMALL, options.files / "small") if options.small else (ONE_BILLION, options.files / "1.1b")
    model, converted = make_model(files, spec), make_converted(files, spec, options.peers_python)
    threads = str(options.threads)
    ours = Side("Bise", [sys.executable, str(HERE / "bise_side.py"), str(model), threads])
    theirs = Side(
        "OpenVINO GenAI", [options.peers_python, str(HERE / "openvino_side.py"), threads, *map(str, converted)]
    )
    report: dict[str, Any] = {"load_before": load_before()}
    report["logits_correlation"] = correlation(ours, theirs)
    for name in options.only or WORKLOADS:
        report |= compare(name, ours, theirs, options.rounds)
    finish(report, ours, theirs, options)


def make_converted(directory: Path, spec: ModelSpec, peers_python: str) -> list[Path]:
    """The same weights as OpenVINO keeps them, a directory for each size of groups, made if it is not there."""
    targets = []
    for size in GROUP_SIZES:
        target = directory / f"openvino_{size}"
        if not target.is_dir():
            print(f"Converting to {target}.", file=sys.stderr, flush=True)
            command = [peers_python, str(HERE / "openvino_files.py"), str(make_floats(directory, spec)), str(target)]
            subprocess.run([*command, str(size)], check=True, stdout=sys.stderr)
        targets.append(target)
    return targets


def compare(name: str, ours: Side, theirs: Side, rounds: int) -> dict[str, Any]:
    """The ratio of one workload, and the rates it comes from."""
    steps = WORKLOADS[name]["steps"]
    settings = theirs.ask(do="prepare", prompts=make_prompts(name, 0), steps=steps)["settings"]
    ours.ask(do="serve", prompts=make_prompts(name, 0), steps=steps)  # nothing is measured cold
    ratio, rates = take_turns(ours, theirs, rounds, lambda side: rate_of(name, side))
    tell(name, ratio, rates)
    return {name: ratio, f"{name}_rates": rates, f"{name}_settings": settings}


def rate_of(name: str, side: Side) -> float:
    """Tokens a second of one turn."""
    steps, prompts = WORKLOADS[name]["steps"], make_prompts(name, 1)
    seconds = side.ask(do="serve", prompts=prompts, steps=steps)
    if steps:
        return len(prompts) * steps / float(seconds["steps_s"])
    return sum(map(len, prompts)) / float(seconds["prompt_s"])


def make_prompts(name: str, seed: int) -> list[list[int]]:
    """Random tokens; the prompts of a workload share no beginning, and each side gets the same."""
    random = np.random.default_rng(seed)
    shape = WORKLOADS[name]
    prompts: list[list[int]] = random.integers(1000, 30_000, (shape["prompts"], shape["length"])).tolist()
    return prompts


if __name__ == "__main__":
    main()
