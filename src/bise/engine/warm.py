"""Compiling the kernels ahead of time, so that the first conversation does not wait for it."""

import time
from dataclasses import dataclass
from pathlib import Path

from bise.engine.kernels.table import Progress, choose_kernels, compiler_problem, wanted_set


@dataclass(frozen=True)
class Warmth:
    """Which kernels a start would use, and whether it would have to compile them first."""

    kernels: str  # "numba" or "numpy"
    instruction_set: str | None  # of integer weights; None where there is none for them
    reason: str | None  # why not numba
    is_warm: bool
    cache: Path | None  # where compiled kernels are kept; None when they cannot be kept


def warm(progress: Progress | None = None) -> float:
    """Compile or load every kernel; returns the seconds it took. `progress` is told of each."""
    started = time.monotonic()
    choose_kernels(progress)
    return time.monotonic() - started


def warmth() -> Warmth:
    """Look, without compiling anything.

    Raises:
        InputError: an instruction set was asked for that cannot be used here.
    """
    name, problem = wanted_set(), compiler_problem()
    if name == "numpy" or problem is not None:
        return Warmth("numpy", None, problem or "NumPy was asked for", is_warm=True, cache=None)
    from bise.engine.kernels.cache import cache_directory, is_complete
    from bise.engine.kernels.instructions import choose_instruction_set
    from bise.machine_code import is_writable

    chosen, directory = choose_instruction_set(name), cache_directory()
    set_name = chosen.name if chosen is not None else None
    if not is_writable(directory):
        return Warmth("numba", set_name, None, is_warm=False, cache=None)
    return Warmth("numba", set_name, None, is_complete(set_name), directory)
