"""Taking in what somebody brings: a job of the server, one for each owner at a time, followed by its state.

The file is kept without a name, so that it is gone when the job ends or the server is killed. Each conversation comes in whole
or not at all, and what is here already is not taken in again: whoever is interrupted brings the same file once more.
"""

import asyncio
import logging
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

from bise.app.archive_reading import MAX_FILE_BYTES, Found, read_file
from bise.app.portable_records import read_record
from bise.config import home
from bise.errors import BiseError, InputError, UnavailableError
from bise.server.errors import OUR_MISTAKE
from bise.store.branches import BusyError
from bise.store.database import Database
from bise.store.portable import insert_portable

log = logging.getLogger(__name__)
_MAX_REFUSALS = 20  # that are told one by one
_MAX_TITLE_CHARS = 80


@dataclass
class Import:
    """How far it is, and what came of it."""

    status: Literal["running", "finished", "failed", "cancelled"] = "running"
    share: float = 0.0  # of the file, 0 to 1
    num_imported: int = 0
    num_known: int = 0  # here already
    num_refused: int = 0
    num_messages: int = 0
    left_out: Counter[str] = field(default_factory=Counter)  # pieces of conversations that were taken in, by kind
    refusals: list[dict[str, str]] = field(default_factory=list)  # the first of those refused: title and reason
    error: str | None = None  # why it ended before the end of the file
    error_facts: dict[str, object] | None = None  # the error's code and values, where it has a code

    def fail(self, error: BiseError) -> None:
        """End before the end of the file."""
        self.status, self.error, self.error_facts = "failed", str(error), error.facts


class Imports:
    """The latest import of each owner, running or ended, since the server's start."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._latest: dict[str, Import] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        database.before_close(self.close)

    def state(self, owner: str) -> Import | None:
        """Tell how an owner's latest import stands."""
        return self._latest.get(owner)

    async def start(self, owner: str, pieces: AsyncIterator[bytes]) -> Import:
        """Receive a file, and begin to take it in.

        Raises:
            BusyError: one is being taken in.
            UnavailableError: the disk refuses.
        """
        if owner in self._running:
            raise _busy()
        try:
            file = await asyncio.to_thread(_unnamed_file)
            try:
                await _receive(file, pieces)
            except BaseException:
                file.close()
                raise
        except OSError as error:
            raise UnavailableError(
                f"The file could not be kept ({error.strerror}). See that there is space left."
            ) from None
        if owner in self._running:  # another tab was faster
            file.close()
            raise _busy()
        state = self._latest[owner] = Import()
        self._running[owner] = asyncio.create_task(self._run(owner, state, file))
        return state

    async def ended(self, owner: str) -> None:
        """Wait for the end of an owner's import."""
        task = self._running.get(owner)
        if task is not None:
            await asyncio.wait({task})

    async def cancel(self, owner: str) -> None:
        """End an import and wait for that; what came in so far stays."""
        task = self._running.get(owner)
        if task is not None:
            task.cancel()
        await self.ended(owner)

    async def close(self) -> None:
        """End all imports."""
        for owner in list(self._running):
            await self.cancel(owner)

    async def forget(self, owner: str) -> None:
        """End an owner's import, and forget what is told of it."""
        await self.cancel(owner)
        self._latest.pop(owner, None)

    async def _run(self, owner: str, state: Import, file: BinaryIO) -> None:
        try:
            with file:
                await self._take_in(owner, state, read_file(file))
            state.status, state.share = "finished", 1.0
        except asyncio.CancelledError:
            state.status = "cancelled"
        except BiseError as error:
            state.fail(error)
        except Exception:  # the page waits for an end, whatever happens
            log.exception("An import failed by our own mistake.")
            state.fail(OUR_MISTAKE)
        finally:
            del self._running[owner]

    async def _take_in(self, owner: str, state: Import, objects: Iterator[Found]) -> None:
        while (found := await asyncio.to_thread(next, objects, None)) is not None:
            state.share = found.share
            try:
                brought = await asyncio.to_thread(read_record, found.record)
                is_new = await insert_portable(self._database, owner, brought.conversation, brought.source)
            except InputError as error:
                state.num_refused += 1
                title = str(found.record.get("title") or "")[:_MAX_TITLE_CHARS]
                if len(state.refusals) < _MAX_REFUSALS:
                    state.refusals.append({"title": title, "reason": str(error)})
                continue
            if not is_new:
                state.num_known += 1
                continue
            state.num_imported += 1
            state.num_messages += len(brought.conversation.messages)
            state.left_out.update(brought.left_out)


def _busy() -> BusyError:
    return BusyError("A file is being taken in already. Wait for its end, or cancel it.", code="import_busy")


def _unnamed_file() -> BinaryIO:
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.TemporaryFile(dir=home())


async def _receive(file: BinaryIO, pieces: AsyncIterator[bytes]) -> None:
    size = 0
    async for piece in pieces:
        size += len(piece)
        assert size <= MAX_FILE_BYTES, "the guard bounds what comes in"
        await asyncio.to_thread(file.write, piece)
    await asyncio.to_thread(file.flush)


def show_import(state: Import | None) -> dict[str, Any]:
    """Write the state of an import as the browser reads it."""
    if state is None:
        return {"import": None}
    told = {name: value for name, value in vars(state).items() if name != "left_out"}
    return {"import": told | {"left_out": dict(state.left_out)}}
