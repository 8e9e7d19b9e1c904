"""What the benchmarks of our engine beside another one share: the command line, the sides' turns, and the report."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.alternating import Side, load_average, machine_facts, spread
from bise.config import cache_home
from bise.hardware import usable_cores


def parse_options(description: str | None, workloads: Collection[str], rounds: int, needs: str) -> argparse.Namespace:
    """The command line; `needs` says what the other engine's Python must have."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--only", nargs="+", choices=list(workloads))
    parser.add_argument("--small", action="store_true", help="a small model, to try the benchmark itself")
    parser.add_argument("--files", type=Path, default=cache_home() / "benchmarks", help="where the models are kept")
    parser.add_argument("--peers-python", default=os.environ.get("BISE_PEERS_PYTHON"))
    options = parser.parse_args()
    if options.peers_python is None:
        parser.error(f"Set BISE_PEERS_PYTHON to a Python that has {needs}.")
    return options


def take_turns(
    ours: Side, theirs: Side, rounds: int, rate: Callable[[Side], float], between: Callable[[], object] = lambda: None
) -> tuple[float, dict[str, dict[str, float]]]:
    """The ratio of median rates over rounds of ours, then theirs, and the spread of each; `between` ends each round."""
    rates: dict[str, list[float]] = {ours.name: [], theirs.name: []}
    for _ in range(rounds):
        for side in (ours, theirs):
            rates[side.name].append(rate(side))
        between()
    found = {side: spread(values) for side, values in rates.items()}
    return round(found[ours.name]["median"] / found[theirs.name]["median"], 3), found


def correlation(ours: Side, theirs: Side) -> float:
    """Of the logits after one prompt."""
    ids = np.random.default_rng(7).integers(1000, 30_000, 40).tolist()
    logits = [side.ask(do="logits", ids=ids)["logits"] for side in (ours, theirs)]
    return round(float(np.corrcoef(*logits)[0, 1]), 4)


def finish(report: dict[str, Any], ours: Side, theirs: Side, options: argparse.Namespace) -> None:
    """Add what a reader must know to compare, end both sides and print."""
    report |= {
        "idle_share": {side.name: round(side.idle_share, 3) for side in (ours, theirs)},
        "load_after": load_average(),
        "threads": options.threads,
        "machine": machine_facts() | theirs.ask(do="versions")["versions"],
    }
    for side in (ours, theirs):
        side.close()
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:20} {v}" for k, v in report.items()))


def tell(name: str, ratio: float, rates: dict[str, dict[str, float]]) -> None:
    """Show one workload's figures while the others are measured."""
    print(f"{name}: {ratio} ({rates})", file=sys.stderr, flush=True)
