"""Two programs measured in turns: children that wait for orders, statistics with their spread, and the machine's state.

A child reads one JSON order a line and answers with one JSON line. While one works, the other waits in a read, so
neither disturbs the other; each answer tells how much processor time its child used since the answer before.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from bise.engine.machine import describe_machine
from bise.hardware import usable_cores

SETTLE_S = 0.1  # a thread pool may spin for a while before it sleeps


class Side:
    """One of the two programs."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.idle_share = 0.0  # most of one core that it used while it was the other's turn
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._last = time.monotonic()

    def ask(self, **order: Any) -> dict[str, Any]:
        """Send an order and wait for the answer.

        Raises:
            SystemExit: the child has ended; its own words are on stderr.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        time.sleep(SETTLE_S)
        waited = time.monotonic() - self._last
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        self._last = time.monotonic()
        if not line:
            raise SystemExit(f"{self.name} ended on {order}: status {self._process.wait()}.")
        answer: dict[str, Any] = json.loads(line)
        self.idle_share = max(self.idle_share, answer["idle_cpu_s"] / waited)
        return answer

    def close(self) -> None:
        """End the child."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


def spread(values: Sequence[float], digits: int = 2) -> dict[str, float]:
    """Median, 10th and 90th percentile, and how many."""
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "median": round(statistics.median(ordered), digits),
        "p10": round(ordered[round(last * 0.1)], digits),
        "p90": round(ordered[round(last * 0.9)], digits),
        "n": len(ordered),
    }


def machine_facts() -> dict[str, object]:
    """What a reader must know to compare."""
    machine = describe_machine()
    return {
        "processor": machine.processor,
        "instruction_sets": list(machine.instruction_sets),
        "cores": machine.cores,
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("numba", "numpy")},
    }


def load_before() -> float:
    """The load average before a measurement; whoever is not alone on the machine is told what that means."""
    load = load_average()
    if load > usable_cores() / 4:
        words = (
            f"Others are at work here (load {load}): the figures then tell who bears that better, not who is faster."
        )
        print(words, file=sys.stderr, flush=True)
    return load


def load_average() -> float:
    """Processes that wanted to run in the last minute; those of the measurement itself are among them."""
    return round(os.getloadavg()[0], 2)
