"""Instruction sets: their tables of compiled functions."""

import subprocess
import sys

import pytest

from bise.engine.kernels.instructions import available

# A process of its own, since only the first use of a set makes its table.
FIRST_USE = """
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from bise.engine.kernels.instructions import InstructionSet

together = Barrier(8)

def ask(_):
    together.wait()
    return InstructionSet(sys.argv[1]).table

with ThreadPoolExecutor(8) as threads:
    print(len(set(threads.map(ask, range(8)))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", available())
def test_threads_that_are_first_to_use_a_set_share_its_table(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", FIRST_USE, name], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr
