"""What the forward pass is made of: one table of functions, compiled by numba or, where that cannot run, in NumPy.

Every function computes each token by itself and adds in a fixed order, so a token's result never depends on which other
tokens share its step: batch = single and chunked = whole, bit for bit. Read first: `reference.py`, which says in NumPy
what each function computes. `compiled.py` is the fast twin, `simd.py` its vector instructions, `cache.py` where compiled
code is kept.

Shapes: T tokens in the step, S sequences, N output rows, K input columns, H query heads, G key/value heads, D head_dim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

TILE = 16  # output rows that one vector holds
BLOCK = 16  # tokens in one block of the KV cache

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


@dataclass(frozen=True)
class Kernels:
    """The functions of one implementation; `reference.py` documents each."""

    name: str  # "numba" or "numpy"
    rms_norm: Callable[[Floats, Floats, float, Floats], None]
    matmul_float: Callable[[Floats, Floats, int, int, Floats], None]
    matmul_int8: Callable[[Floats, NDArray[np.int8], Floats, int, int, Floats], None]
    rotate_and_store: Callable[..., None]
    attention: Callable[..., None]
    silu_gate: Callable[[Floats, Floats], None]


@dataclass(frozen=True)
class KernelChoice:
    """Which implementation runs here and, when it is the slow one, why."""

    kernels: Kernels
    reason: str | None


def choose_kernels(progress: Callable[[str, int, int], None] | None = None) -> KernelChoice:
    """Compile or load the numba kernels; NumPy's where numba cannot run, with the reason.

    `progress` is told (kernel, done, total) before each kernel that is compiled or loaded.
    """
    try:
        from bise.engine.kernels.cache import compiler_problem
        from bise.engine.kernels.compiled import load_kernels
    except ImportError as error:
        return KernelChoice(_numpy_kernels(), f"numba cannot be imported: {error}")
    problem = compiler_problem()
    if problem is not None:
        return KernelChoice(_numpy_kernels(), problem)
    return KernelChoice(load_kernels(progress), None)


def _numpy_kernels() -> Kernels:
    from bise.engine.kernels.reference import NUMPY_KERNELS

    return NUMPY_KERNELS


def pack_tiles(matrix: NDArray[Any]) -> NDArray[Any]:
    """[N, K] -> [ceil(N / 16), K, 16]: sixteen rows side by side, so that one vector holds a column of them."""
    rows, columns = matrix.shape
    tiles = -(-rows // TILE)
    padded = np.zeros((tiles * TILE, columns), matrix.dtype)
    padded[:rows] = matrix
    return np.ascontiguousarray(padded.reshape(tiles, TILE, columns).transpose(0, 2, 1))
