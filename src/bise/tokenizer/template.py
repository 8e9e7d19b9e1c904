"""A chat template of a stranger's, rendered in a process of its own with bounds on time, memory and text."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from bise.errors import InputError

_WORKER = Path(__file__).with_name("template_worker.py")
_MAX_SOURCE = 1 << 20  # characters; the longest of open models have some ten thousand
_MAX_ANSWER_BYTES = 1 << 28
_LIMIT_S = 10.0


class Template:
    """One template; its process starts when it is first used, and again after a rendering that had to be ended."""

    def __init__(self, source: str, where: str, limit_s: float = _LIMIT_S) -> None:
        """`where` names the template in errors."""
        if len(source) > _MAX_SOURCE:
            raise InputError(
                f"The chat template of {where} has {len(source):,} characters; {_MAX_SOURCE:,} is the most."
            )
        self._source = source
        self._where = where
        self._limit_s = limit_s
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(self, variables: Mapping[str, Any]) -> str:
        """The template's text.

        Raises:
            InputError: the template refuses these variables, is wrong, or takes too much time, memory or text.
        """
        with self._lock:
            if self._process is None:
                self._process = _start()
                weakref.finalize(self, _end, self._process)
                self._ask(self._source)
            return self._ask(variables) or ""

    def _ask(self, message: object) -> str | None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            content = json.dumps(message).encode()
            self._process.stdin.write(len(content).to_bytes(8, "little") + content)
            self._process.stdin.flush()
            answer = _read_answer(self._process.stdout, time.monotonic() + self._limit_s)
        except (OSError, TimeoutError) as error:
            _end(self._process)
            self._process = None
            reason = f"took more than {self._limit_s:g} s" if isinstance(error, TimeoutError) else "ended its process"
            raise InputError(f"The chat template of {self._where} {reason}. Use a model with another.") from None
        except BaseException:  # an interrupted dialogue cannot go on
            _end(self._process)
            self._process = None
            raise
        if "error" in answer:
            raise InputError(f"The chat template of {self._where} cannot render this: {answer['error']}.")
        text: str | None = answer["text"]
        return text


def _start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", str(_WORKER)]
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
