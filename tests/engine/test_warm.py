"""Compiled kernels are kept for exactly these sources, this numba and this processor."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bise import machine_code
from bise.engine.kernels import cache, halves
from bise.engine.kernels.instructions import choose_instruction_set
from bise.engine.warm import warm, warmth
from bise.hardware import usable_cores

SCRIPT = """
from bise.engine.warm import warm, warmth
before = warmth().is_warm
seen = []
warm(lambda *progress: seen.append(progress))
print(before, warmth().is_warm, [done for _, done, _ in seen] == list(range(seen[0][2])) if seen else "silent")
"""


@pytest.mark.slow
def test_the_second_start_compiles_nothing(tmp_path: Path) -> None:
    def start() -> tuple[str, dict[Path, int]]:
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
        done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, check=True)
        return done.stdout.decode().strip(), {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nbc")}

    first, compiled = start()
    second, after = start()
    assert (first, second) == ("False True True", "True True silent")
    assert compiled
    assert after == compiled


def test_a_second_process_leaves_its_kernels_in_the_cache(tmp_path: Path) -> None:
    chosen = choose_instruction_set()
    if chosen is None:
        pytest.skip("this processor has no instruction set for the fused path")
    command = [sys.executable, "-m", halves.__name__, chosen.name, "threads"]
    subprocess.run(command, env=os.environ | {"XDG_CACHE_HOME": str(tmp_path)}, check=True)
    assert [path.name.split("-")[0] for path in tmp_path.rglob("*.nbc")] == ["control._announce"]


def test_a_second_process_is_asked_only_where_it_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")  # and what it cannot do is no reason to fail
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = ("packing", *halves.SECOND_HALF)
    machine_code.cache_directory.cache_clear()
    try:
        with halves.second_process("avx512", names) as half:
            assert half == (halves.SECOND_HALF if usable_cores() > 1 else ())
        with halves.second_process(None, names) as half:
            assert half == ()
        cache.mark_complete("avx512")
        with halves.second_process("avx512", names) as half:
            assert half == ()
    finally:
        machine_code.cache_directory.cache_clear()


def test_warm_leaves_a_machine_that_says_so() -> None:
    warm()
    found = warmth()
    assert (found.kernels, found.reason, found.is_warm) == ("numba", None, True)
    assert found.cache == cache.cache_directory()
