"""The compiler's settings for the engine's kernels, and which of them have been compiled before."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

from bise import machine_code
from bise.machine_code import is_writable, kept_in

# Not "nnan": a NaN must stay one, to be found.
_FAST_MATH = {"contract", "reassoc", "nsz", "arcp"}
_called_by_address: list[Any] = []


def compile_kernel(function: Callable[..., None], signature: Any, *, exact: bool = False) -> Any:
    """Compile one kernel for one signature, or load it; it releases the GIL while it runs.

    An exact kernel adds floats in the order of its source; others may add them in any, the same at every call.
    """
    with kept_in(cache_directory()) as is_kept:
        return numba.njit(
            signature,
            cache=is_kept,
            nogil=True,
            boundscheck=False,
            error_model="numpy",
            fastmath=False if exact else _FAST_MATH,
        )(function)


def address_of(kernel: Any) -> int:
    """Where a compiled kernel begins as a C function.

    The kernel is kept for good, since nothing else tells that compiled code still calls it.
    """
    _called_by_address.append(kernel)
    (overload,) = kernel.overloads.values()
    address = int(overload.library.get_pointer_to_function(overload.fndesc.llvm_cfunc_wrapper_name))
    assert address != 0, f"{kernel.py_func.__name__} has no C function"
    return address


def cache_directory() -> Path:
    """The directory for these sources, this numba and this processor."""
    return machine_code.cache_directory(Path(__file__).parent)


def mark_complete(set_name: str | None) -> None:
    """Note that what integer models need for an instruction set has been compiled, or every kernel for none."""
    if is_writable(cache_directory()):
        _mark(set_name).touch()


def is_complete(set_name: str | None) -> bool:
    """Whether a start would find its kernels compiled."""
    return _mark(set_name).is_file()


def _mark(set_name: str | None) -> Path:
    return cache_directory() / f"complete-{set_name or 'portable'}"
