"""How the corpus's kernels are compiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

from bise.machine_code import cache_directory, kept_in

Function = TypeVar("Function", bound=Callable[..., Any])


# Without numba's counting of references to arrays, which costs more than the work in loops over characters. So kernels
# allocate nothing: they fill arrays that their caller made.
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}


def kernel(function: Function) -> Function:
    """Compile at the first call, or load what an earlier process compiled; releases the GIL while it runs."""
    return _compile(function)


def summing_kernel(function: Function) -> Function:
    """As `kernel`, with sums of floats added in whatever order is fastest, the same at every call."""
    return _compile(function, fastmath={"contract", "reassoc", "nsz"})


def _compile(function: Function, **options: Any) -> Function:
    with kept_in(cache_directory(Path(__file__).parent)) as is_kept:
        return cast(Function, numba.njit(cache=is_kept, **_OPTIONS, **options)(function))


def device(function: Function) -> Function:
    """Compile as a part of the kernels that call it."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """Copy into every caller: for the few lines inside of hot loops."""
    return cast(Function, numba.njit(inline="always", **_OPTIONS)(function))
