"""Ends that come from outside: a child ends with its parent, and SIGTERM leaves nothing behind.

`python -m bise.lifetime PARENT_ID ARGUMENT…` is `bise ARGUMENT…` for a parent that keeps the pipe to its stdin open.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with(parent_id: int) -> None:
    """End this process when its parent ends, however that happens and whatever is running here.

    The end of stdin says it too, but only to a thread that gets to run; Linux can do without.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_id:  # it went before we could ask
        os._exit(0)


@contextmanager
def before_sigterm(clear_up: Callable[[], None]) -> Iterator[None]:
    """While the block runs, SIGTERM first calls `clear_up` and then ends this process, as it does anyway.

    No exception is raised: one that meets a finaliser would be lost. Signals can only be caught in the main thread;
    elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        clear_up()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end_with_stdin() -> None:
    """Wait for the end of stdin, where nothing is written, and then stop this process in its own way."""
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _run(parent_id: int, *arguments: str) -> None:
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    die_with(parent_id)
    sys.argv[1:] = arguments
    runpy.run_module("bise", run_name="__main__")


if __name__ == "__main__":
    _run(int(sys.argv[1]), *sys.argv[2:])
