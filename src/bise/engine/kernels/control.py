"""How the threads of a step begin together and sleep between steps.

One array of int64, `control`, is all they share, each number in a cache line of its own: the turn (how many steps have
been announced), how many threads are in a step, whether the pool is closing, the turn that has ended, and for each
thread whether it has gone to sleep and which turn it has seen. A thread looks out for the next turn for a moment, since
in a busy engine the next step comes soon; then it says that it sleeps, looks once more, and leaves compiled code to wait
on a lock. Whoever announces a turn takes back the words of those who said so and wakes them. Nobody waits for a thread
that comes late: it finds that the turn has ended.
"""

from functools import cache
from typing import Any

from numba import njit

from bise.engine.kernels import vectors as v
from bise.engine.kernels.cache import compile_kernel
from bise.engine.kernels.linear import DEVICE
from bise.engine.kernels.memory import atomic_exchange, load_int64, store_int64

CONTINUE, SLEEP, CLOSE = 0, 1, 2  # what a thread is to do
_ACTIVE = 64  # byte offsets in `control`; at 0 is the turn
CLOSING = 128
_ENDED = 192
_THREAD = 256  # of thread 0's line: asleep, turn seen, to be woken
LINE = 64
_PAUSES = 4000  # looks with a pause between them, some 50 µs
_YIELDS = 100  # then looks at which the processor is offered to others


def control_bytes(num_threads: int) -> int:
    """Size of `control`."""
    return _THREAD + LINE * num_threads


def woken_offset(thread: int) -> int:
    """Where `announce` notes that a thread must be woken."""
    return _THREAD + LINE * thread + 16


@njit(**DEVICE)
def await_turn(control, thread):
    """Wait for the next turn: CONTINUE when it has come, SLEEP when the caller is to wait on its lock."""
    line = control + _THREAD + LINE * thread
    looks = 0
    while True:
        turn = v.atomic_load(control)
        if turn != load_int64(line, 8):
            store_int64(line, 8, turn)
            if v.atomic_load(control + CLOSING) != 0:
                return CLOSE
            v.atomic_add(control + _ACTIVE, 1)
            if v.atomic_add(control + _ENDED, 0) < turn:  # an addition of nothing is a look that cannot be moved
                return CONTINUE
            leave_turn(control)
        looks += 1
        if looks <= _PAUSES:
            v.pause()
        elif looks <= _PAUSES + _YIELDS:
            v.yield_processor()
        else:
            atomic_exchange(line, 1)
            if v.atomic_add(control, 0) == turn or atomic_exchange(line, 0) == 0:
                return SLEEP


@njit(**DEVICE)
def leave_turn(control):
    """Note that a thread has left a step."""
    v.atomic_add(control + _ACTIVE, -1)


@njit(**DEVICE)
def end_turn(control):
    """Let no more threads into the step, and wait for those that are in it."""
    atomic_exchange(control + _ENDED, v.atomic_load(control))
    looks = 0
    while v.atomic_load(control + _ACTIVE) != 0:
        looks += 1
        if looks > _PAUSES:
            v.yield_processor()
        else:
            v.pause()


def _announce(control, num_threads):
    """Begin the next turn; returns how many threads sleep, and marks each."""
    v.atomic_add(control, 1)
    sleeping = 0
    for thread in range(1, num_threads):
        line = control + _THREAD + LINE * thread
        woken = atomic_exchange(line, 0)
        store_int64(line, 16, woken)
        sleeping += woken
    return sleeping


@cache
def load_announce() -> Any:
    """`_announce` compiled."""
    return compile_kernel(_announce, "int64(int64, int64)")
