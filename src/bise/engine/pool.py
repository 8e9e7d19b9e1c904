"""Threads that run a step together: one call each, begun at once, with nothing to queue.

The calling thread is thread 0 and does its own part. The others stay in compiled code between the steps of a busy
engine and sleep on a lock in an idle one; `kernels/control.py` has the protocol.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock, Thread

import numpy as np
from numpy.typing import NDArray

from bise.engine.kernels.control import CLOSE, CLOSING, LINE, control_bytes, load_announce, woken_offset

Turns = Callable[[int, int], int]  # (thread, address of `control`) -> what the thread is to do next


@dataclass
class _Shared:
    """What the threads hold; not the pool, so that a pool that nobody uses any more can end them."""

    turns: Turns
    control: NDArray[np.int64]
    locks: list[Lock]
    threads: list[Thread] = field(default_factory=list)

    @property
    def address(self) -> int:
        return int(self.control.ctypes.data)


class Pool:
    """`num_threads - 1` threads beside the caller's own."""

    def __init__(self, num_threads: int, turns: Turns) -> None:
        control = _aligned_integers(control_bytes(num_threads))
        self._shared = _Shared(turns, control, [Lock() for _ in range(num_threads)])
        self._announce = load_announce()
        self.num_threads = num_threads
        for thread, lock in enumerate(self._shared.locks[1:], 1):
            lock.acquire()
            worker = Thread(target=_work, args=(self._shared, thread), name=f"bise-step-{thread}", daemon=True)
            self._shared.threads.append(worker)
            worker.start()
        self.address = self._shared.address  # of `control`
        self.close = weakref.finalize(self, _close, self._shared, self._announce)

    def run(self, *, alone: bool = False) -> None:
        """Run one step, on every thread or on this one alone; returns when it is done."""
        shared = self._shared
        try:
            if self.num_threads > 1 and not alone:
                _begin(shared, self._announce)
        finally:  # interrupted, too, this must not return while other threads work in the step's memory
            shared.turns(0, shared.address)


def _begin(shared: _Shared, announce: Callable[[int, int], int]) -> None:
    if announce(shared.address, len(shared.locks)):
        for thread, lock in enumerate(shared.locks[1:], 1):
            if shared.control[woken_offset(thread) // 8]:
                lock.release()


def _work(shared: _Shared, thread: int) -> None:
    while shared.turns(thread, shared.address) != CLOSE:
        shared.locks[thread].acquire()


def _close(shared: _Shared, announce: Callable[[int, int], int]) -> None:
    shared.control[CLOSING // 8] = 1
    _begin(shared, announce)
    for thread in shared.threads:
        thread.join()


def _aligned_integers(size_bytes: int) -> NDArray[np.int64]:
    """Zeros that begin at a cache line."""
    memory = np.zeros(size_bytes + LINE, np.uint8)
    start = -memory.ctypes.data % LINE
    return memory[start : start + size_bytes].view(np.int64)
