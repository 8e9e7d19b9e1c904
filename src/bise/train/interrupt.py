"""Ctrl-C and SIGTERM between two steps instead of within one."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Catch the first Ctrl-C or SIGTERM; the caller asks at its own time. The second one acts at once.

    Signals can only be caught in the main thread; elsewhere the answer is always no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    requested = threading.Event()

    def remember(number: int, frame: FrameType | None) -> None:
        del number, frame
        if requested.is_set():
            raise KeyboardInterrupt
        requested.set()

    signals = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, remember) for number in signals}
    try:
        yield requested.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
