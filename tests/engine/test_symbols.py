"""Compiled code that is loaded finds its functions by name, so no name may stand for two of them.

numba tells functions of the same name and types apart by a number that is counted anew in every process: code that one
process stored and another compiled may have the same. Functions must therefore differ without that number.
"""

import pickle
import re
import struct
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher

from bise.engine import kernels
from bise.engine.kernels.cache import cache_directory
from bise.engine.kernels.table import choose_kernels

_SYMBOL_TABLE, _EMPTY, _RESERVED, _FUNCTION = 2, 0, 0xFF00, 2


def objects(stored: Any) -> Iterator[bytes]:
    """The ELF files inside what numba stores."""
    if isinstance(stored, bytes) and stored.startswith(b"\x7fELF"):
        yield stored
    elif isinstance(stored, tuple | list):
        for part in stored:
            yield from objects(part)


def functions(elf: bytes) -> Iterator[str]:
    """Names of the functions that others may call."""
    (start,) = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, start + size * i) for i in range(count)]
    for section in sections:
        if section[1] != _SYMBOL_TABLE:
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, info, _, where = struct.unpack_from("<IBBH", elf, at)
            if info >> 4 and info & 15 == _FUNCTION and _EMPTY < where < _RESERVED:
                yield elf[names + name : elf.index(b"\0", names + name)].decode()


def test_no_two_functions_of_a_kernel_share_a_name() -> None:
    if choose_kernels().kernels.name != "numba":
        pytest.skip("numba cannot run here")
    found = [elf for path in cache_directory().rglob("*.nbc") for elf in objects(pickle.loads(path.read_bytes()))]
    if not found:
        pytest.skip("compiled kernels are not kept here as ELF files")
    for elf in found:
        names = [re.sub(r"B\d+v\d+", "", name) for name in functions(elf)]
        assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", [module.name for module in iter_modules(kernels.__path__)])
def test_no_device_function_takes_its_arithmetic_from_whoever_calls_it_first(name: str) -> None:
    for found in vars(import_module(f"{kernels.__name__}.{name}")).values():
        if isinstance(found, Dispatcher):
            assert found.targetoptions.get("fastmath") is False, found
