"""Work on a stranger's data in a process of its own, with bounds on time, memory and answers: both ends of the pipe.

Here `BoundedProcess` asks; there a module calls `answer_requests`. Messages each way are eight bytes of length and JSON.
What ends that process, be it a loop, a huge text or a library that aborts, ends one request, and the next starts it again.
"""

import contextlib
import json
import os
import resource
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import IO, Any

_MAX_ANSWER_BYTES = 1 << 28
_START_S = 30.0  # for a process to start and read its thing on a busy machine, whatever the limit of a request
_MAX_SECONDS = 1800  # of processor time for one request, whatever its limit


class Refused(Exception):
    """The work was not done; the text says why, and goes on after the name of what was asked."""


class BoundedProcess:
    """A process that works on one thing of a stranger's, such as a template; it starts when it is first asked."""

    def __init__(self, module: str, thing: object) -> None:
        """`module` calls `answer_requests`; `thing` is JSON, and what it prepares for."""
        self._module = module
        self._first = json.dumps(thing).encode()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def prepare(self, limit_s: float) -> None:
        """Let it read its thing now; raises what `ask` does."""
        with self._lock:
            self._prepare(limit_s)

    def ask(self, request: object, limit_s: float) -> Any:
        """Its answer to a request.

        Raises:
            Refused: the thing is wrong, the request does not go with it, or the answer takes too much time or memory.
        """
        content = json.dumps(request).encode()
        with self._lock:
            self._prepare(max(limit_s, _START_S))
            return self._exchange(content, limit_s)

    def _prepare(self, limit_s: float) -> None:
        if self._process is None:
            self._process = _start(self._module)
            weakref.finalize(self, _end, self._process)
            try:
                self._exchange(self._first, limit_s)
            except Refused:
                self._forget()
                raise

    def _exchange(self, content: bytes, limit_s: float) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(len(content).to_bytes(8, "little") + content)
            self._process.stdin.flush()
            answer = _read_answer(self._process.stdout, time.monotonic() + limit_s)
        except TimeoutError:
            self._forget()
            raise Refused(f"took more than {limit_s:g} s") from None
        except OSError:
            self._forget()
            raise Refused("ended its process") from None
        except BaseException:  # an interrupted dialogue cannot go on
            self._forget()
            raise
        if "error" in answer:
            raise Refused(f"fails: {answer['error']}")
        return answer["value"]

    def _forget(self) -> None:
        if self._process is not None:
            _end(self._process)
            self._process = None


def answer_requests(
    prepare: Callable[[Any], Callable[[Any], Any]], failures: tuple[type[Exception], ...], memory_bytes: int
) -> None:
    """The other end: read the thing, then answer each request until there are no more.

    Args:
        prepare: makes of the thing what answers requests.
        failures: what may go wrong in either; anything else ends the process.
        memory_bytes: that it may use.
    """
    _limit_memory(memory_bytes)
    work: Callable[[Any], Any] | None = None
    for message in _messages():
        _limit_time()
        try:
            if work is None:
                work, value = prepare(message), None
            else:
                value = work(message)
            _write({"value": value})
        except failures as error:
            _write({"error": f"{error}".splitlines()[0][:300] if f"{error}" else type(error).__name__})


def _start(module: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-P", "-m", module]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # of what was still to be written
                pipe.close()


def _read_answer(stream: IO[bytes], deadline: float) -> dict[str, Any]:
    length = int.from_bytes(_read_bytes(stream, 8, deadline), "little")
    if length > _MAX_ANSWER_BYTES:
        raise OSError(f"an answer of {length} bytes")
    answer: dict[str, Any] = json.loads(_read_bytes(stream, length, deadline))
    return answer


def _read_bytes(stream: IO[bytes], count: int, deadline: float) -> bytes:
    content = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(content) < count:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError
            piece = os.read(stream.fileno(), min(count - len(content), 1 << 20))
            if not piece:
                raise OSError("the process has ended")
            content += piece
    return bytes(content)


def _limit_memory(memory_bytes: int) -> None:
    with contextlib.suppress(OSError, ValueError):  # a lower limit is in force, or the system has none
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))


def _limit_time() -> None:
    """A bound on this request's time, for when nobody is left to end it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + _MAX_SECONDS
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _messages() -> Iterator[Any]:
    while len(length := sys.stdin.buffer.read(8)) == 8:
        yield json.loads(sys.stdin.buffer.read(int.from_bytes(length, "little")))


def _write(answer: dict[str, Any]) -> None:
    content = json.dumps(answer).encode()
    sys.stdout.buffer.write(len(content).to_bytes(8, "little") + content)
    sys.stdout.buffer.flush()
