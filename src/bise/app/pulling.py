"""Taking models into the store from the admin's page: `bise pull` as a program of its own, one at a time.

It ends with the server; the same pull then goes on where it was. Only sources that name what they are may be asked for
here: a path could be of any file that the server can read.
"""

import asyncio
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from bise.errors import InputError
from bise.store.branches import BusyError
from bise.weights.store import check_name

SOURCES = ("hf:", "ollama:", "lmstudio:")
Bits = Literal["4", "mixed", "8", "16"]
Status = Literal["running", "finished", "failed", "cancelled"]
PullCommand = Callable[["Wanted"], Sequence[str]]
_NUM_KEPT_LINES = 20
_CANCEL_S = 10.0


@dataclass(frozen=True)
class Wanted:
    """A model to take in."""

    source: str
    name: str  # what it will be called here
    bits: Bits | None = None  # None: as it is

    def __post_init__(self) -> None:
        """Check what the program itself could not refuse.

        Raises:
            InputError: the source is none that may be named here, or the name is none.
        """
        if not self.source.startswith(SOURCES) or not self.source.isprintable():
            words = ", ".join(f"{each}…" for each in SOURCES)
            raise InputError(f"The source is {self.source[:100]!r}, but must be one of {words}, as in hf:OWNER/NAME.")
        check_name(self.name)


def pull_command(wanted: Wanted) -> Sequence[str]:
    """Write the command that takes a model in."""
    bits = (f"--bits={wanted.bits}",) if wanted.bits else ()
    return (sys.executable, "-m", "bise", "pull", f"--name={wanted.name}", *bits, "--", wanted.source)


class Pulling:
    """The latest pull."""

    def __init__(self, command: PullCommand = pull_command) -> None:
        self._command = command
        self._wanted: Wanted | None = None
        self._status: Status = "finished"
        self._lines: deque[str] = deque(maxlen=_NUM_KEPT_LINES)
        self._process: asyncio.subprocess.Process | None = None
        self._following: asyncio.Task[None] | None = None

    async def start(self, wanted: Wanted) -> None:
        """Begin to take a model in; where its program cannot be started, the pull has failed and says why.

        Raises:
            BusyError: another is being taken in.
        """
        if self._wanted is not None and self._status == "running":
            message = f"{self._wanted.name} is being taken in already. Wait for its end, or cancel it."
            raise BusyError(message, code="pulling", model=self._wanted.name)
        self._wanted, self._status = wanted, "running"
        self._lines.clear()
        command = self._command(wanted)
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            self._status = "failed"
            self._lines.append(f"{command[0]} cannot be started: {error.strerror}. Start Bise again, then this pull.")
            return
        self._following = asyncio.create_task(self._follow(self._process))

    def show(self) -> dict[str, object] | None:
        """Describe the latest pull for the page; None: there was none."""
        if self._wanted is None:
            return None
        last = self._lines[-1] if self._lines else ""
        share = re.search(r"(\d+) %", last)
        return {
            "name": self._wanted.name,
            "source": self._wanted.source,
            "status": self._status,
            "percent": int(share[1]) if share and self._status == "running" else None,
            "line": last,
        }

    async def cancel(self) -> None:
        """End a running pull; without effect when none is running."""
        if self._process is None or self._following is None or self._process.returncode is not None:
            return
        self._status = "cancelled"
        for end in (signal.SIGINT, signal.SIGKILL):
            with suppress(ProcessLookupError):
                self._process.send_signal(end)
            done, _ = await asyncio.wait({self._following}, timeout=_CANCEL_S)
            if done:
                break

    async def _follow(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        async for line in process.stderr:
            if text := line.decode(errors="replace").strip():
                self._lines.append(text.removeprefix("bise: ")[:600])
        code = await process.wait()
        if self._status == "running":
            self._status = "finished" if code == 0 else "failed"
