"""The table of kernels, the layouts they share, and the choice of an implementation.

Shapes: T tokens in the step, S sequences, N output rows, K input columns, H query heads, G key/value heads, D head_dim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bise import config
from bise.errors import InputError

if TYPE_CHECKING:
    from bise.engine.kernels.cells import Cells
    from bise.engine.kernels.instructions import InstructionSet

TILE = 16  # output rows that one vector holds
BLOCK = 16  # tokens in one block of the KV cache

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Progress = Callable[[str, int, int], None]  # (kernel, kernels done, kernels in all), before each kernel


@dataclass(frozen=True)
class Kernels:
    """The functions of one implementation; `reference.py` documents each."""

    name: str  # "numba" or "numpy"
    instruction_set: "InstructionSet | None"  # of the fused path; None where there is none
    rms_norm: Callable[[Floats, Floats, float, Floats], None]
    matmul_float: Callable[[Floats, Floats, int, int, Floats], None]
    matmul_int8: Callable[[Floats, NDArray[np.int8], Floats, int, int, Floats], None]
    rotate_and_store: Callable[[Floats, Ints, Ints, Floats, Floats, int, "Cells", int], None]
    attention: Callable[[Floats, Ints, Ints, Ints, "Cells", int, int, int, Floats], None]
    silu_gate: Callable[[Floats, Floats], None]


@dataclass(frozen=True)
class KernelChoice:
    """Which implementation runs here and, when it is the slow one, why."""

    kernels: Kernels
    reason: str | None


def choose_kernels(
    progress: Progress | None = None, instruction_set: str = "auto", *, operations: bool = True
) -> KernelChoice:
    """Compile or load the numba kernels; NumPy's where numba cannot run or they are asked for, with the reason.

    A model that takes the fused path (`forward.can_fuse`) has no use for single operations.

    Raises:
        InputError: an instruction set was asked for that cannot be used here.
    """
    name, problem = wanted_set(instruction_set), compiler_problem()
    if name == "numpy" or problem is not None:
        from bise.engine.kernels.reference import NUMPY_KERNELS

        if name not in ("auto", "numpy"):
            raise InputError(f'The instruction set {name!r} cannot be used: {problem}. Choose "numpy" or "auto".')
        return KernelChoice(NUMPY_KERNELS, problem or "NumPy was asked for")
    from bise.engine.kernels.compiled import load_kernels

    return KernelChoice(load_kernels(progress, name, operations=operations), None)


def wanted_set(instruction_set: str = "auto") -> str:
    """What was asked for: the setting, else the environment, else "auto"."""
    return config.instruction_set() if instruction_set == "auto" else instruction_set


def compiler_problem() -> str | None:
    """Why numba cannot compile here, or None."""
    try:
        import numba
    except ImportError as error:
        return f"numba cannot be imported: {error}"
    if numba.config.DISABLE_JIT:
        return "numba's compiler is switched off by NUMBA_DISABLE_JIT"
    return None


def pack_tiles(matrix: NDArray[Any]) -> NDArray[Any]:
    """[N, K] -> [ceil(N / 16), K, 16]: sixteen rows side by side, so that one vector holds a column of them."""
    rows, columns = matrix.shape
    tiles = -(-rows // TILE)
    padded = np.zeros((tiles * TILE, columns), matrix.dtype)
    padded[:rows] = matrix
    return np.ascontiguousarray(padded.reshape(tiles, TILE, columns).transpose(0, 2, 1))
