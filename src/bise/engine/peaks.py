"""What the machine can do at most, measured: bytes read from memory and 8-bit integers multiplied in a second.

A step can be no faster than its weights can be read, nor than their products can be computed; `bise bench` and the
benchmarks set the engine's figures beside these two.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np

from bise.engine.kernels.instructions import InstructionSet
from bise.engine.kernels.limits import load_multiply_in_registers, load_read_memory, operations

_READ_BYTES = 512 << 20  # far more than any cache holds
_ROUNDS = 2_000_000


def read_bandwidth(num_threads: int, passes: int = 7, size_bytes: int = _READ_BYTES) -> list[float]:
    """Bytes a second that threads read from memory together, once for each pass over `size_bytes`."""
    read, data = load_read_memory(), np.ones(size_bytes, np.uint8)
    borders = [size_bytes * i // num_threads for i in range(num_threads + 1)]
    seconds = _time_together(lambda i: read(data, borders[i], borders[i + 1]), num_threads, passes)
    return [size_bytes / each for each in seconds]


def integer_peak(instruction_set: InstructionSet, num_threads: int, passes: int = 7) -> list[float]:
    """Operations a second (a product and its addition are two) that threads compute together, once for each pass."""
    multiply = load_multiply_in_registers(instruction_set.name)
    count = num_threads * _ROUNDS * operations(instruction_set.name)
    seconds = _time_together(lambda _: multiply(instruction_set, _ROUNDS), num_threads, passes)
    return [count / each for each in seconds]


def _time_together(work: Callable[[int], object], num_threads: int, passes: int) -> list[float]:
    """Seconds of each pass, from when all threads are there until the last is done; the first pass is a rehearsal."""
    barrier = Barrier(num_threads)

    def run(thread: int) -> tuple[float, float]:
        barrier.wait()
        started = time.perf_counter()
        work(thread)
        return started, time.perf_counter()

    found = []
    with ThreadPoolExecutor(num_threads, "bise-peak") as threads:
        for _ in range(passes + 1):
            times = list(threads.map(run, range(num_threads)))
            found.append(max(end for _, end in times) - min(start for start, _ in times))
    return found[1:]
