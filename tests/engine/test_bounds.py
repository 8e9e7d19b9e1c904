"""The fused step touches no byte outside its arrays: each lies beside a page that nobody may read or write."""

import ctypes
import mmap
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bise.engine import adapted, fused
from bise.engine.batch import Batch, RotaryTables, rotary_tables
from bise.engine.cache import KVCache
from bise.engine.forward import Model
from bise.engine.kernels.cells import KVPrecision
from bise.engine.kernels.instructions import available
from bise.engine.kernels.prepare import PROBLEMS
from bise.engine.kernels.table import Floats, choose_kernels
from bise.weights.files import open_weights
from tests.engine.test_adapters import adapt, load
from tests.engine.test_fused import SHAPES, batch_of, prompt, quantised

PAGE = mmap.PAGESIZE
# Around the sizes at which other loops, another stride or another block begin; several sequences in one step.
LENGTHS = (1, 2, 3, 5, 6, 7, 12, 13, 15, 16, 17, 31, 33, 40, 64, 127, 128, 129)
ROUNDS = [("fp16", 8, "end"), ("int8", 4, "end"), ("fp32", 8, "start"), ("int8", 8, "start")]
BLOCKS = 20


def guarded(size_bytes: int, side: str) -> np.ndarray[Any, Any]:
    """Zeroed bytes that end, or begin, at a page without rights."""
    pages = -(-size_bytes // PAGE)
    area = mmap.mmap(-1, (pages + 2) * PAGE)
    whole = np.frombuffer(area, np.uint8)
    libc = ctypes.CDLL(None, use_errno=True)
    for page in (0, pages + 1):
        result = libc.mprotect(ctypes.c_void_p(whole.ctypes.data + page * PAGE), ctypes.c_size_t(PAGE), 0)
        assert result == 0, os.strerror(ctypes.get_errno())
    start = PAGE if side == "start" else (pages + 1) * PAGE - size_bytes
    return whole[start : start + size_bytes]


def guard(array: np.ndarray[Any, Any], side: str) -> Any:
    """A copy of an array beside a guard page."""
    copy = guarded(array.nbytes, side).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def guard_model(monkeypatch: pytest.MonkeyPatch, side: str) -> None:
    """Let models that are made from here on have their weights and working memory between guard pages."""
    keep = fused.FusedModel._keep

    def allocate(self: Any, name: str, size_bytes: int) -> int:
        tokens = self._capacity
        if name.startswith(("gated", "gathered")):  # a place for each of a token's experts
            tokens *= max(1, self.spec.experts_per_token)
        if name.startswith(("normed", "mixed", "gated", "gathered")):  # exactly the stride that these tokens get
            size_bytes = size_bytes // (tokens + 1) * (tokens + (tokens >= 64 and tokens % 2 == 0))
        memory = guarded(size_bytes, side).view(np.float32)
        if name != "counters":
            memory[...] = np.nan  # what is read before it is written shows in the logits
        self._memory[name] = memory
        return int(memory.ctypes.data)

    def up_to(self: RotaryTables, position: int) -> tuple[Floats, ...]:
        tables = rotary_tables(position + 1, self._frequencies, self._factor)
        self._tables = guard(tables[0], side), guard(tables[1], side)
        return self._tables

    monkeypatch.setattr(RotaryTables, "up_to", up_to)
    monkeypatch.setattr(adapted, "aligned_bytes", lambda size_bytes: guarded(size_bytes, side))
    monkeypatch.setattr(fused.FusedModel, "_allocate", allocate)
    monkeypatch.setattr(fused.FusedModel, "_keep", lambda self, array: keep(self, guard(array, side)))


def logits(model: Model, precision: KVPrecision, side: str | None, directory: Path) -> list[Floats]:
    """Of steps of all lengths, each twice as long with a sequence beside it that goes on at a block's border, and with
    adapters."""
    found = []
    adapters = [load(model, directory / str(rank), rank=rank) for rank in (3, 16)]
    for length in LENGTHS:
        cache = KVCache(model.spec, 3 * BLOCKS, precision)
        model._path._capacity = 0  # type: ignore[attr-defined]  # memory of exactly the step's size
        model._path._low_bytes = 0  # type: ignore[attr-defined]
        first, second = prompt(model.spec, length), prompt(model.spec, 17 + length % 3, seed=1)
        steps = [
            batch_of((0, first, 0)),
            batch_of((1, second[:16], 0)),
            batch_of((0, [*first, 1], length), (1, second, 16)),
        ]
        steps += [adapt(steps[0], (adapters[0], 0)), adapt(steps[2], (adapters[0], 0), (adapters[1], 1))]
        if side is not None:
            cache.cells = guard(cache.cells, side)
            names = [field.name for field in fields(Batch) if field.name != "adapted"]
            steps = [replace(step, **{n: guard(np.asarray(getattr(step, n)), side) for n in names}) for step in steps]
        found += [model.forward(step, cache) for step in steps]
    return found


def check(directory: Path, set_name: str, threads: int) -> None:
    """What the test runs in a process of its own."""
    kernels = choose_kernels(None, set_name, operations=False).kernels
    for index, spec in enumerate(SHAPES.values()):
        for precision, bits, side in ROUNDS:
            path = directory / f"{index}-{bits}"
            weights = open_weights(path / "int" if path.exists() else quantised(path, spec, bits))
            free = Model(weights, kernels, threads, least_shared_bytes=0)
            with pytest.MonkeyPatch.context() as patch:
                guard_model(patch, side)
                held = Model(weights, kernels, threads, least_shared_bytes=0)
                fenced = logits(held, precision, side, path / "adapters")  # type: ignore[arg-type]
            for a, b in zip(fenced, logits(free, precision, None, path / "adapters"), strict=True):  # type: ignore[arg-type]
                assert a.tobytes() == b.tobytes()
            held.close()
            free.close()


def in_own_process(code: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.path[:0] = {sys.path!r}\nfrom tests.engine.test_bounds import *\n{code}"
    command = [sys.executable, "-X", "faulthandler", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by mprotect")
@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("set_name", available())
def test_a_step_stays_inside_its_memory(tmp_path: Path, set_name: str, threads: int) -> None:
    done = in_own_process(f"check(Path({str(tmp_path)!r}), {set_name!r}, {threads})")
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.skipif(sys.platform == "win32", reason="pages are protected by mprotect")
@pytest.mark.parametrize("place", ["guarded(100, 'end').ctypes.data + 100", "guarded(100, 'start').ctypes.data - 1"])
def test_a_guard_page_ends_the_process(place: str) -> None:
    done = in_own_process(f"ctypes.string_at({place}, 1)")
    assert done.returncode < 0


def test_more_rows_of_logits_than_tokens_are_refused(tmp_path: Path) -> None:
    kernels = choose_kernels(operations=False).kernels
    if kernels.instruction_set is None:
        pytest.skip("this processor has no instruction set for the fused path")
    weights = open_weights(quantised(tmp_path, SHAPES["groups of four"]))
    model = Model(weights, kernels, num_threads=1)
    step = replace(batch_of((0, [1, 2], 0)), logit_rows=np.zeros(3, np.int64))
    with pytest.raises(AssertionError, match=PROBLEMS[-1]):
        model.forward(step, KVCache(weights.spec, 3 * BLOCKS))
    model.close()
