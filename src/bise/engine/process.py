"""The engine in a process of its own, as the server sees it: it may die without taking the server with it.

When the child dies, requests in flight end with an UnavailableError and a new child is started, each time after a
longer pause; requests that come meanwhile wait for it. Messages are described in `worker.py`.
"""

import asyncio
import json
import logging
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from bise.engine.core import EngineConfig, StepOutput
from bise.engine.kernels.table import Progress as Progress
from bise.engine.sampling import SamplingParams
from bise.errors import BiseError, InputError, NotFoundError, UnavailableError

log = logging.getLogger(__name__)

_ERRORS: dict[str, type[BiseError]] = {kind.__name__: kind for kind in (InputError, NotFoundError, UnavailableError)}
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_STABLE_S = 60.0  # a child that lived this long starts the pauses afresh
_GRACE_S = 2.0


class EngineProcess:
    """An engine's child process, restarted when it dies; made by `await EngineProcess.start(directory)`."""

    def __init__(self, directory: Path, config: EngineConfig, progress: Progress | None) -> None:
        self.directory = directory
        self.kernels = ""  # "numba" or "numpy", once ready
        self.max_length = 0  # tokens of a prompt and its answer, once ready
        self._config = config
        self._progress = progress
        self._requests: dict[str, asyncio.Queue[StepOutput | BiseError]] = {}
        self._numbers = count()
        self._ready = asyncio.Event()
        self._failure: BiseError | None = None  # why no child will be started again
        self._child: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls, directory: Path, config: EngineConfig | None = None, progress: Progress | None = None
    ) -> "EngineProcess":
        """Start the child and wait until it can answer; `progress` is told of each kernel that is compiled or loaded.

        Raises:
            InputError: the model's files are damaged.
            UnavailableError: the child ended before it was ready.
        """
        engine = cls(directory, config or EngineConfig(), progress)
        engine._supervisor = asyncio.create_task(engine._supervise())
        try:
            await engine._wait_until_ready()
        except BaseException:
            await engine.close()
            raise
        return engine

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now, without waiting for a restart."""
        return self._ready.is_set() and self._failure is None

    @property
    def process_id(self) -> int | None:
        """The child's process id, or None between two children."""
        return self._child.pid if self._child is not None else None

    async def generate(self, prompt_ids: Sequence[int], params: SamplingParams) -> AsyncGenerator[StepOutput, None]:
        """Yield a request's outputs until one has a finish reason. Closing the iterator cancels within a step.

        Raises:
            InputError: the request is wrong, for example longer than the context.
            UnavailableError: the engine died meanwhile, or cannot be started.
        """
        await self._wait_until_ready()
        request_id = str(next(self._numbers))
        outputs = self._requests[request_id] = asyncio.Queue()
        try:
            await self._send(
                {"type": "add", "id": request_id, "prompt_ids": list(prompt_ids), "params": asdict(params)}
            )
            while True:
                output = await outputs.get()
                if isinstance(output, BiseError):
                    raise output
                if output.finish_reason is not None:
                    del self._requests[request_id]
                yield output
                if output.finish_reason is not None:
                    return
        finally:
            if self._requests.pop(request_id, None) is not None and self._ready.is_set():
                self._post({"type": "cancel", "id": request_id})

    async def close(self) -> None:
        """End the child; requests in flight end with an UnavailableError."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor

    async def _wait_until_ready(self) -> None:
        await self._ready.wait()
        if self._failure is not None:
            raise self._failure

    async def _supervise(self) -> None:
        try:
            await self._keep_running()
        finally:  # whatever ended it, nobody may be left waiting
            self._failure = self._failure or UnavailableError("The engine has been closed.")
            self._end_requests(self._failure)
            self._ready.set()

    async def _keep_running(self) -> None:
        pause = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            ending = await self._run_child()
            if isinstance(ending, BiseError):
                self._failure = ending
                return
            if not self.kernels:
                self._failure = UnavailableError(f"{ending} before it was ready. What it printed says why.")
                return
            log.error("%s; starting it again in %.1f s", ending, pause)
            self._end_requests(UnavailableError(f"{ending} while it was answering. It is being restarted: ask again."))
            await asyncio.sleep(pause)
            pause = _FIRST_PAUSE_S if loop.time() - started > _STABLE_S else min(pause * 2, _LONGEST_PAUSE_S)

    async def _run_child(self) -> str | BiseError:
        """Run one child to its end; returns how it ended in words, or the error that it reported."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # nothing is imported from the current directory
            "-m",
            "bise.engine.worker",
            str(self.directory),
            json.dumps(asdict(self._config)),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for the server, which then closes us
        )
        self._child = child
        failure: BiseError | None = None
        assert child.stdout is not None
        try:
            async for line in child.stdout:
                failure = self._handle(json.loads(line)) or failure
            await child.wait()
        finally:
            self._child = None
            self._ready.clear()
            await _end(child)
        return failure or f"The engine process {_describe_exit(child.returncode)}"

    def _handle(self, message: dict[str, Any]) -> BiseError | None:
        """Act on one message of the child; returns an error when the child could not start."""
        match message["type"]:
            case "outputs":
                for request_id, token_ids, finish_reason in message["outputs"]:
                    self._deliver(request_id, StepOutput(request_id, tuple(token_ids), finish_reason))
            case "refused":
                self._deliver(message["id"], _ERRORS[message["kind"]](message["message"]))
            case "progress":
                if self._progress is not None:
                    self._progress(message["kernel"], message["done"], message["total"])
            case "ready":
                self.kernels, self.max_length = message["kernels"], message["max_length"]
                if message["reason"] is not None:
                    log.warning("The engine runs on its slow NumPy path: %s", message["reason"])
                self._ready.set()
            case "failed":
                return _ERRORS[message["kind"]](message["message"])
        return None

    def _deliver(self, request_id: str, output: StepOutput | BiseError) -> None:
        if request_id in self._requests:  # else it was cancelled while the step ran
            self._requests[request_id].put_nowait(output)

    def _end_requests(self, error: BiseError) -> None:
        for outputs in self._requests.values():
            outputs.put_nowait(error)
        self._requests.clear()

    def _post(self, message: dict[str, Any]) -> None:
        if self._child is not None and self._child.stdin is not None and not self._child.stdin.is_closing():
            self._child.stdin.write(json.dumps(message).encode() + b"\n")

    async def _send(self, message: dict[str, Any]) -> None:
        self._post(message)
        if self._child is not None and self._child.stdin is not None:
            with suppress(ConnectionError):  # the child has died: the supervisor is about to tell every request
                await self._child.stdin.drain()


async def _end(child: Process) -> None:
    """End a child that may still run: it exits when its stdin closes, and is killed when it does not."""
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), _GRACE_S)
    except TimeoutError:
        child.kill()
        await child.wait()


def _describe_exit(status: int | None) -> str:
    if status is not None and status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"
