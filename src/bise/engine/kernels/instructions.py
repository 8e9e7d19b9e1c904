"""Which instruction set the compiled kernels use, and how a kernel is told.

A kernel takes an `InstructionSet` as its first argument and hands it on. For numba its name is part of its type, so a
kernel is compiled, and kept, once for each set that is asked for; its value is a table of the set's compiled products.
"""

from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np
from numba import types
from numba.core.registry import cpu_target
from numba.extending import models, register_model, typeof_impl, unbox
from numpy.typing import NDArray

from bise.engine.kernels.tiles import load_product
from bise.engine.kernels.vectors import I64
from bise.errors import InputError

# What each set needs, by LLVM's names, best first.
_NEEDS = {
    "avx512": ("avx512f", "avx512bw", "avx512vnni", "f16c", "fma"),
    "avxvnni": ("avx2", "avxvnni", "f16c", "fma"),
    "avx2": ("avx2", "f16c", "fma"),
}
# `cache` alone lets two threads make a table each at the first use, and the address of the one that is not kept dangles.
_making = Lock()


@dataclass(frozen=True)
class InstructionSet:
    """A set of vector instructions that the kernels know how to use."""

    name: str  # "avx512", "avxvnni" or "avx2"

    @property
    def table(self) -> int:
        """The address of the addresses of its products with 4 and with 8 bits, which are compiled or loaded."""
        with _making:
            return int(_table(self.name).ctypes.data)


@cache
def _table(name: str) -> NDArray[np.int64]:
    return np.array([load_product(name, 4), load_product(name, 8)])


class InstructionSetType(types.Type):
    """An `InstructionSet` inside compiled code: the address of its table."""

    def __init__(self, set_name: str) -> None:
        super().__init__(name=f"InstructionSet({set_name})")
        self.set_name = set_name


@register_model(InstructionSetType)
class _InstructionSetModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, I64)


@typeof_impl.register(InstructionSet)
def _type_of(value: InstructionSet, context: Any) -> InstructionSetType:
    del context
    return InstructionSetType(value.name)


@unbox(InstructionSetType)
def _unbox(kind: Any, value: Any, context: Any) -> Any:
    attribute = context.pyapi.object_getattr_string(value, "table")
    native = context.unbox(types.int64, attribute)
    context.pyapi.decref(attribute)
    return native


def available() -> tuple[str, ...]:
    """The sets that numba may use on this processor, best first; numba's own variables can take some away."""
    *_, text = cpu_target.target_context.codegen().magic_tuple()
    features = {feature[1:] for feature in text.split(",") if feature.startswith("+")}
    return tuple(name for name, needs in _NEEDS.items() if features.issuperset(needs))


def choose_instruction_set(name: str = "auto") -> InstructionSet | None:
    """The set of that name, or with "auto" the best that there is; None where the processor has none of them.

    Raises:
        InputError: this processor does not have the set.
    """
    found = available()
    if name == "auto":
        return InstructionSet(found[0]) if found else None
    if name not in found:
        raise InputError(
            f"The engine cannot use the instruction set {name!r} here. Choose one of: {', '.join(('auto', *found))}, numpy."
        )
    return InstructionSet(name)
