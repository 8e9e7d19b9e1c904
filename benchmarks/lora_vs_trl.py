"""The measures of tuning in training_vs_peers.py: an adapter against trl's SFTTrainer with peft, and memory.

`lora_vs_trl` is the ratio of non-padding tokens for each second of processor time, in bfloat16, at the same rank, model (60
million weights) and conversations. trl may choose: rows packed without leaks, or padded and sorted by length; what is faster
counts. `lora_peak_gb` is the largest resident memory of a process that tunes an adapter beside a 4-bit model of 1.1 billion
weights, in rows of 1,024 tokens, one at a time.
"""

import json
import statistics
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.alternating import Side, spread
from benchmarks.hf_files import write_hf
from benchmarks.lora_work import ADAPTER, BATCH_ROWS, RATES, ROW_LENGTH, SHAPE, conversations
from benchmarks.random_model import ONE_BILLION, make_model
from bise.config import cache_home
from bise.model.files import save_model
from bise.model.transformer import Transformer

_TRL_SETTINGS = ("packed", "padded")
_ENDLESS = 10**5
_STEPS_OF_A_TURN = 2


def lora_speed(turns: int, threads: int, peers_python: str) -> dict[str, Any]:
    """Both programs' rates in turns, and the ratio of ours to trl's better one."""
    directory = cache_home() / "benchmarks" / "lora"
    _prepare(directory)
    sides = {"bise": _ours(directory / "ours", _ENDLESS, threads)}
    script = str(Path(__file__).with_name("trl_side.py"))
    for setting in _TRL_SETTINGS:
        name = f"trl_{setting}"
        sides[name] = Side(name, [peers_python, script, str(directory), setting, str(threads)])
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name, side in sides.items():
            rate = _rate(side, 1 if turn == 0 else _STEPS_OF_A_TURN)
            if turn:  # the first warms up
                rates[name].append(rate)
        print(f"lora, turn {turn} of {turns}: {rates}", file=sys.stderr, flush=True)
    for side in sides.values():
        side.close()
    best = max((f"trl_{setting}" for setting in _TRL_SETTINGS), key=lambda name: statistics.median(rates[name]))
    ratios = [ours / theirs for ours, theirs in zip(rates["bise"], rates[best], strict=True)]
    return {
        "lora_vs_trl": spread(ratios)["median"],
        "lora_vs_trl_spread": spread(ratios),
        "lora_tokens_per_cpu_s": {name: spread(values, 1) for name, values in rates.items()},
        "lora_trl_best": best,
        "lora_rank": ADAPTER.rank,
        "lora_parameters": SHAPE.num_parameters(),
    }


def lora_memory(threads: int) -> dict[str, Any]:
    """The largest resident memory beside a 4-bit model of 1.1 billion weights, in a step."""
    num_steps = 1
    side = _ours(make_model(cache_home() / "benchmarks" / "1.1b", ONE_BILLION), num_steps, threads)
    told = side.ask(steps=num_steps)
    side.close()
    tokens = num_steps * BATCH_ROWS * ROW_LENGTH - told["padding"]
    return {"lora_peak_gb": told["peak_gb"], "lora_1.1b_tokens_per_cpu_s": round(tokens / told["cpu_s"], 1)}


def _ours(model: Path, num_steps: int, threads: int) -> Side:
    order = json.dumps({"model": str(model), "num_steps": num_steps, "threads": threads})
    return Side("bise", [sys.executable, "-m", "benchmarks.lora_bise_side", order])


def _rate(side: Side, count: int) -> float:
    """Non-padding tokens for each second of processor time."""
    if side.name == "bise":
        told = side.ask(steps=count)
        return float((count * BATCH_ROWS * ROW_LENGTH - told["padding"]) / told["cpu_s"])
    told = side.ask(do="steps", count=count)
    return float(told["tokens"] / told["cpu_s"])


def _prepare(directory: Path) -> None:
    """The same weights for both, and the conversations."""
    if (directory / "work.json").exists():
        return
    torch.manual_seed(0)
    model = Transformer(SHAPE)
    for parameter in model.parameters():
        if parameter.dim() == 2:
            torch.nn.init.normal_(parameter, std=0.02)
    save_model(directory / "ours", model)
    write_hf(directory / "theirs", SHAPE, {name: w.to(torch.bfloat16) for name, w in model.state_dict().items()})
    work = {
        "conversations": conversations(SHAPE.vocab_size),
        "row_length": ROW_LENGTH,
        "batch_rows": BATCH_ROWS,
        "rank": ADAPTER.rank,
        "alpha": ADAPTER.alpha,
        "learning_rate": RATES.embedding_learning_rate,
    }
    (directory / "work.json").write_text(json.dumps(work), encoding="utf-8")
