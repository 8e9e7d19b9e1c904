"""Compiling the kernels ahead of time, so that the first conversation does not wait for it."""

import time
from dataclasses import dataclass
from pathlib import Path

from bise.engine.kernels.table import Progress, choose_kernels, compiler_problem


@dataclass(frozen=True)
class Warmth:
    """Which kernels a start would use, and whether it would have to compile them first."""

    kernels: str  # "numba" or "numpy"
    reason: str | None  # why not numba
    is_warm: bool
    cache: Path | None  # where compiled kernels are kept; None when they cannot be kept


def warm(progress: Progress | None = None) -> float:
    """Compile or load every kernel; returns the seconds it took. `progress` is told of each."""
    started = time.monotonic()
    choose_kernels(progress)
    return time.monotonic() - started


def warmth() -> Warmth:
    """Look, without compiling anything."""
    problem = compiler_problem()
    if problem is not None:
        return Warmth("numpy", problem, is_warm=True, cache=None)
    from bise.engine.kernels.cache import cache_directory, is_complete, is_writable

    directory = cache_directory()
    if not is_writable(directory):
        return Warmth("numba", None, is_warm=False, cache=None)
    return Warmth("numba", None, is_complete(), directory)
