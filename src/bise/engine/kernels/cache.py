"""Where compiled kernels are kept, and the compiler's settings.

numba's own cache looks only at the file of the function it compiles and would miss an edit in `simd.py`, so the cache
directory is named by a hash of every kernel source, numba's version and the processor.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba

from bise.config import cache_home

UNUSED_S = 30 * 24 * 3600
# Not "nnan": a NaN must stay one, to be found.
_FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
_called_by_address: list[Any] = []


def compile_kernel(function: Callable[..., None], signature: Any, *, exact: bool = False) -> Any:
    """Compile one kernel for one signature, or load it; it releases the GIL while it runs.

    An exact kernel adds floats in the order of its source; others may add them in any, the same at every call.
    """
    directory = cache_directory()
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(directory)  # read once, while the decorator runs
    try:
        return numba.njit(
            signature,
            cache=is_writable(directory),
            nogil=True,
            boundscheck=False,
            error_model="numpy",
            fastmath=False if exact else _FAST_MATH,
        )(function)
    finally:
        numba.config.CACHE_DIR = previous


def address_of(kernel: Any) -> int:
    """Where a compiled kernel begins as a C function.

    The kernel is kept for good, since nothing else tells that compiled code still calls it.
    """
    _called_by_address.append(kernel)
    (overload,) = kernel.overloads.values()
    address = int(overload.library.get_pointer_to_function(overload.fndesc.llvm_cfunc_wrapper_name))
    assert address != 0, f"{kernel.py_func.__name__} has no C function"
    return address


@cache
def cache_directory() -> Path:
    """The directory for these sources, this numba and this processor."""
    directory = directory_for(Path(__file__).parent)
    if is_writable(directory):
        os.utime(directory)
        remove_unused(directory.parent)
    return directory


def remove_unused(parent: Path, now: float | None = None) -> None:
    """Delete directories of other sources or versions that no start has used for a month."""
    now = time.time() if now is None else now
    for directory in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process may be tidying up as well
            if directory.is_dir() and now - directory.stat().st_mtime > UNUSED_S:
                shutil.rmtree(directory, ignore_errors=True)


def directory_for(sources: Path) -> Path:
    """The cache directory for the kernel sources in a directory."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.binding.get_host_cpu_name()}".encode())
    for path in sorted(sources.rglob("*.py")):
        digest.update(path.read_bytes() + path.stat().st_mtime_ns.to_bytes(8, "little"))  # numba compares times too
    return cache_home() / "kernels" / digest.hexdigest()[:16]


@cache
def is_writable(directory: Path) -> bool:
    """Whether compiled kernels can be kept; if not, every start compiles again."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def mark_complete(set_name: str | None) -> None:
    """Note that what integer models need for an instruction set has been compiled, or every kernel for none."""
    if is_writable(cache_directory()):
        _mark(set_name).touch()


def is_complete(set_name: str | None) -> bool:
    """Whether a start would find its kernels compiled."""
    return _mark(set_name).is_file()


def _mark(set_name: str | None) -> Path:
    return cache_directory() / f"complete-{set_name or 'portable'}"
