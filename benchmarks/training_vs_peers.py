"""Training here against others: litgpt and the Trainer of transformers in pretraining, trl with peft in tuning.

    python -m benchmarks.training_vs_peers --json [--data DIR]

needs an environment with tests/peers/requirements-training.txt (`--peers-python`, or `BISE_TRAINING_PEERS_PYTHON`), and for
the part `lora` one with requirements-tuning.txt (`--tuning-python`, or `BISE_TUNING_PEERS_PYTHON`). `--only` chooses parts. All
programs train the shipped model's shape (6 layers of 256, 8,192 tokens of vocabulary, windows of 512), 8 windows a step, on
windows of the same token stream, on all cores. They run in processes of their own and take turns of a few steps; rates are
tokens (no padding) a second of processor time, medians over the turns; the first steps (compiling, warming up) are left out.

What each is given:

- `litgpt_default`: `litgpt pretrain` at its defaults, which on a processor are bf16-mixed, a compiled model, and AdamW.
- `litgpt_best`: the same, with PyTorch's Muon beside fused AdamW as its optimiser, the one that we use.
- `trainer_default`: `Trainer` at its defaults: float32, not compiled, AdamW (fused).
- `trainer_best`: `bf16`, `torch_compile`, attention written out (`attn_implementation="eager"`), and the same Muon. That
  this attention is its faster one on a processor is a guess from products of the same size, not measured in the Trainer.
- ours: the product's loop with `loop.compile = true`; all else at its defaults.

`time_to_loss`: each peer trains once at its best with an AdamW of its own (beta2 0.95, weight decay 0.1, cosine to zero, two
per cent of warm-up, learning rate 0.008), since neither offers Muon by itself. `--only learning_rates` tries 0.002, 0.004, 0.008
and 0.016 for both in runs of half the length, of which 0.008 ended best for both (litgpt: 3.38, 3.39, 3.33 and 3.47 bits per
byte after 40 steps; the Trainer: 3.40, 3.37, 3.32 and 3.50; after 120 steps 0.004 and 0.008 differ by a hundredth). Then we
train runs of 0.4, 0.6 and 1 times their length, and the one that reaches their held-out bits per byte is found by
interpolation; where the shortest does, the ratio is a lower bound. Time is processor time at the run's steady rate, so that nobody's compiling counts. Held-out documents are the
same, each alone in a row.

`loader_share` is the share of our steps' time that reading batches takes. `lora` and `lora_memory` are explained in
lora_vs_trl.py. Beside other work on the machine, threads that wait for each other burn processor time: measure alone, or with
`--threads 1`.
"""

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alternating import Side, load_average, load_before, machine_facts, spread
from benchmarks.lora_vs_trl import lora_memory, lora_speed
from benchmarks.training_data import ROW_LENGTH, prepare
from bise.config import cache_home
from bise.hardware import usable_cores
from bise.weights.spec import ModelSpec

SPEC = ModelSpec(8192, 256, 6, 4, 2, 64, 704, ROW_LENGTH, tied_embeddings=True)
ROWS = 8  # of a step: the shipped recipe's tokens
LEARNING_RATE = {"litgpt": 0.008, "trainer": 0.008}
PARTS = ("throughput", "time_to_loss", "lora", "lora_memory")
_TRIED_RATES = (0.002, 0.004, 0.008, 0.016)
_ENDLESS = 10**5
_WARM_UP = 3  # steps


def command(options: argparse.Namespace, data: Path, program: str, **settings: object) -> list[str]:
    """How a program is started."""
    shape = {key: getattr(SPEC, key) for key in SPEC.__dataclass_fields__}
    order = json.dumps({"program": program, "spec": shape, "rows": ROWS, "data": str(data), **settings}, default=str)
    if program == "bise":
        return [sys.executable, "-m", "benchmarks.training_bise_side", order]
    return [options.peers_python, str(Path(__file__).with_name("training_peer_side.py")), order]


def sides(options: argparse.Namespace, data: Path) -> dict[str, Side]:
    """Every program in each of its settings, waiting for its turn."""
    settings = {
        "bise": ("bise", "best", "muon"),
        "litgpt_default": ("litgpt", "default", "own"),
        "litgpt_best": ("litgpt", "best", "muon"),
        "trainer_default": ("trainer", "default", "own"),
        "trainer_best": ("trainer", "best", "muon"),
    }
    return {
        name: Side(
            name,
            command(
                options,
                data,
                program,
                setting=setting,
                optimizer=optimizer,
                num_steps=_ENDLESS,
                threads=options.threads,
                lr=0.006,
                attention="eager",
            ),
        )
        for name, (program, setting, optimizer) in settings.items()
    }


def throughput(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Rates of all programs in turns, and our ratios."""
    running = sides(options, data)
    for name, side in running.items():
        tell(f"{name}: warming up")
        side.ask(steps=_WARM_UP)
    told: dict[str, list[dict[str, Any]]] = {name: [] for name in running}
    for turn in range(options.turns):
        for name, side in running.items():
            told[name].append(side.ask(steps=options.steps))
        last = ", ".join(f"{name} {rates(answers, 'cpu_s')[-1]:,.0f}" for name, answers in told.items())
        tell(f"turn {turn + 1} of {options.turns}: {last}")
    for side in running.values():
        side.close()
    found = {name: spread(rates(answers, "cpu_s"), 0) for name, answers in told.items()}

    def ratio(kind: str) -> dict[str, float]:
        ours = found["bise"]["median"]
        return {peer: round(ours / found[f"{peer}_{kind}"]["median"], 3) for peer in ("litgpt", "trainer")}

    return {
        "pretrain_vs_default": min(ratio("default").values()),
        "pretrain_vs_best": min(ratio("best").values()),
        "loader_share": round(float(np.median([took["loader_s"] / took["wall_s"] for took in told["bise"]])), 5),
        "vs_default": ratio("default"),
        "vs_best": ratio("best"),
        "tokens_per_cpu_s": found,
        "tokens_per_s": {name: spread(rates(answers, "wall_s"), 0) for name, answers in told.items()},
        "idle_share": {name: round(side.idle_share, 3) for name, side in running.items()},
    }


def rates(answers: list[dict[str, Any]], time: str) -> list[float]:
    """Tokens a second of each answer, padding not among them."""
    return [(took["steps"] * ROWS * ROW_LENGTH - took.get("padding", 0)) / took[time] for took in answers]


def learn(options: argparse.Namespace, data: Path, program: str, num_steps: int, lr: float = 0.0) -> dict[str, Any]:
    """Train to the end; processor time at the steady rate, and the held-out loss. The rate is a peer's, 0 for its own here."""
    settings = {
        "setting": "best",
        "optimizer": "own",
        "num_steps": num_steps,
        "threads": options.threads,
        "attention": "eager",
        "lr": lr or LEARNING_RATE.get(program),
    }
    side = Side(f"{program}, {num_steps} steps", command(options, data, program, **settings))
    side.ask(steps=_WARM_UP)
    took = side.ask(steps=num_steps - _WARM_UP)
    side.close()
    cpu_s = took["cpu_s"] * num_steps / (num_steps - _WARM_UP)
    result = {"steps": num_steps, "cpu_s": round(cpu_s, 1), "bits_per_byte": took["bits_per_byte"]}
    tell(f"{program}, learning rate {settings['lr']}: {result}")
    return result


def learning_rates(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """Held-out bits per byte of the peers after half of their runs, at each of some learning rates of their AdamW."""
    found = {
        program: {str(lr): learn(options, data, program, options.peer_steps // 2, lr) for lr in _TRIED_RATES}
        for program in LEARNING_RATE
    }
    return {"learning_rates": found}


def time_to_loss(options: argparse.Namespace, data: Path) -> dict[str, Any]:
    """How much longer each peer takes to the loss that it ends with."""
    peers = {program: learn(options, data, program, options.peer_steps) for program in LEARNING_RATE}
    lengths = [round(options.peer_steps * share) for share in (0.4, 0.6, 1.0)]
    ours = [learn(options, data, "bise", length) for length in lengths]
    ratios = {name: round(peer["cpu_s"] / time_for(peer["bits_per_byte"], ours), 3) for name, peer in peers.items()}
    return {
        "time_to_loss_vs_best": min(ratios.values()),
        "time_to_loss": ratios,
        "runs": {**peers, "bise": ours},
    }


def time_for(bits_per_byte: float, runs: list[dict[str, Any]]) -> float:
    """Processor time of our run that would end at that loss, interpolated in logarithms.

    It is endless where no run of ours came that far, and the shortest run's where each came further.
    """
    if bits_per_byte < min(run["bits_per_byte"] for run in runs):
        return float("inf")
    losses = [run["bits_per_byte"] for run in runs][::-1]
    times = [np.log(run["cpu_s"]) for run in runs][::-1]
    return float(np.exp(np.interp(bits_per_byte, losses, times)))


def tell(text: str) -> None:
    """Show how far the measurement is."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--data", type=Path, help="a folder with pretrain/SOURCE/*.jsonl.xz; none: the tests' texts")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--peer-steps", type=int, default=80, help="length of the peers' runs to a loss")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--only", nargs="+", choices=(*PARTS, "learning_rates"), default=PARTS)
    default = cache_home() / "training-peers" / "bin" / "python"
    parser.add_argument("--peers-python", default=os.environ.get("BISE_TRAINING_PEERS_PYTHON") or str(default))
    tuning = cache_home() / "tuning-peers" / "bin" / "python"
    parser.add_argument("--tuning-python", default=os.environ.get("BISE_TUNING_PEERS_PYTHON") or str(tuning))
    options = parser.parse_args()
    # Of their own, since half a file that a killed compiler left in the common place stops every later process.
    compiled = cache_home() / "benchmarks" / "compiled"
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(compiled)
    try:
        report = measure(options)
    except BaseException:
        shutil.rmtree(compiled, ignore_errors=True)
        raise
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:22} {v}" for k, v in report.items()))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All that was asked for."""
    report: dict[str, Any] = {"load_before": load_before()}
    data = prepare(options.data, cache_home() / "benchmarks")
    if "throughput" in options.only:
        report |= throughput(options, data)
    if "learning_rates" in options.only:
        report |= learning_rates(options, data)
    if "time_to_loss" in options.only:
        report |= time_to_loss(options, data)
    if "lora" in options.only:
        report |= lora_speed(options.turns, options.threads, options.tuning_python)
    if "lora_memory" in options.only:
        report |= lora_memory(options.threads)
    return report | {"load_after": load_average(), "threads": options.threads, "machine": machine_facts()}


if __name__ == "__main__":
    main()
