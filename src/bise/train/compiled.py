"""The blocks of a model compiled by `torch.compile`, where a run is long enough to earn that back.

All blocks are one program, so one is compiled. A tenth of the time of a step is gained on a processor; a minute or two
of compiling is paid. The choice is recorded when a run begins: compiled and plain code round differently, and a run that
goes on must calculate as it began.
"""

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Literal

import torch
from torch._inductor.utils import fresh_cache

from bise.errors import InputError
from bise.model.transformer import Transformer

Setting = Literal["auto", True, False]
_PAYS_AFTER_S = 1200.0  # of training, expected


def should_compile(setting: Setting, expected_s: float, device: str) -> bool:
    """Whether a run of that expected length compiles its model.

    Raises:
        InputError: the recipe asks for it and there is no compiler.
    """
    if setting is False or (setting == "auto" and expected_s < _PAYS_AFTER_S):
        return False
    if missing := _missing_compiler(device):
        if setting == "auto":
            return False
        raise InputError(
            f"loop.compile is true, but {missing} is not installed. Install it, or set loop.compile=false."
        )
    return True


def _missing_compiler(device: str) -> str:
    if device == "cuda":
        return "" if importlib.util.find_spec("triton") else "Triton (the Python package triton)"
    name = "clang++" if sys.platform == "darwin" else "g++"
    return "" if shutil.which(name) else f"the C++ compiler {name}"


def compile_blocks(model: Transformer) -> None:
    """Let each block be compiled when it is first used."""
    model.skips_unseen = False
    for block in model.layers:
        block.compile()


@contextmanager
def code_of_its_own(is_compiled: bool) -> Iterator[None]:
    """Within it compiled code lies in a directory that nobody else uses and that is deleted in the end.

    PyTorch's common one holds half a file for ever after a compiler was killed, and every later process stumbles over it.
    """
    if not is_compiled:
        yield
        return
    with fresh_cache():
        yield


def plain() -> AbstractContextManager[None]:
    """Within it nothing is compiled: for work of ever other shapes, such as evaluations."""
    stance: AbstractContextManager[None] = torch.compiler.set_stance("force_eager")
    return stance
