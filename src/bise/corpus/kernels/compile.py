"""How the corpus's kernels are compiled, and where the machine code is kept.

numba's own cache looks only at the file of the function that it compiles and would miss an edit in a function called
from it, so the cache directory is named by a hash of every kernel source, numba's version and the processor.
"""

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding
import numba

from bise.config import cache_home

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
    directory = cache_directory()
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(directory)  # read once, while the decorator runs
    try:
        compiled = numba.njit(cache=is_writable(directory), **_OPTIONS, **options)(function)
    finally:
        numba.config.CACHE_DIR = previous
    return cast(Function, compiled)


def device(function: Function) -> Function:
    """Compile as a part of the kernels that call it."""
    return cast(Function, numba.njit(**_OPTIONS)(function))


def inlined(function: Function) -> Function:
    """Copy into every caller: for the few lines inside of hot loops."""
    return cast(Function, numba.njit(inline="always", **_OPTIONS)(function))


@cache
def cache_directory() -> Path:
    """The directory for these sources, this numba and this processor."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.binding.get_host_cpu_name()}".encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes() + path.stat().st_mtime_ns.to_bytes(8, "little"))  # numba compares times too
    return cache_home() / "kernels" / f"corpus-{digest.hexdigest()[:16]}"


@cache
def is_writable(directory: Path) -> bool:
    """Whether machine code can be kept; if not, every process compiles again."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False
