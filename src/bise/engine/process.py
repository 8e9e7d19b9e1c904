"""The engine in a process of its own, as the server sees it: it may die without taking the server with it.

When the child dies, requests in flight end with an UnavailableError at once and a child is started again, each time
after a longer pause. Requests that come meanwhile wait for it; when it has failed several times in a row they are
refused at once, until one of the further attempts succeeds. Messages are described in `protocol.py`.
"""

import asyncio
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from bise.engine import protocol
from bise.engine.core import EngineConfig, EngineStats
from bise.engine.kernels.table import Progress as Progress
from bise.engine.protocol import Add, Cancel, DropAdapter, Failed, Hello, Outputs, Ready, Refused, Start, Stats
from bise.engine.requests import AdapterRef, Grammar, Priority, Request, StepOutput
from bise.engine.sampling import SamplingParams
from bise.errors import BiseError, UnavailableError

log = logging.getLogger(__name__)

WORKER = (sys.executable, "-P", "-m", "bise.engine.worker")  # -P: nothing is imported from the current directory
_LONGEST_LINE = 2**30  # bytes; log probabilities of a long prompt come in one line
_GRACE_S = 0.5
TellPlace = Callable[[int], None]


@dataclass(frozen=True)
class Supervision:
    """How the child is watched and started again."""

    first_pause_s: float = 0.1  # before the first restart; doubled each time
    longest_pause_s: float = 30.0
    stable_s: float = 60.0  # a child that was ready for so long starts the pauses afresh
    patience: int = 3  # failures in a row after which requests are refused instead of waiting
    # Silence with requests in flight after which a child is held to be stuck. The largest model that fits into a
    # machine takes far less for a step on its slowest kernels.
    hang_s: float = 300.0


class EngineProcess:
    """An engine's child process, restarted when it dies; made by `await EngineProcess.start(directory)`."""

    def __init__(
        self,
        directory: Path,
        config: EngineConfig,
        progress: Progress | None,
        supervision: Supervision,
        worker: Sequence[str],
    ) -> None:
        self.directory = directory
        self.kernels = ""  # which ones run, once ready
        self.max_length = 0  # tokens of a prompt and its answer, once ready
        self.num_restarts = 0
        self.stats: EngineStats | None = None  # the child's own figures, a second old at most while it works
        self._config = config
        self._progress = progress
        self._supervision = supervision
        self._worker = tuple(worker)
        self._requests: dict[str, asyncio.Queue[StepOutput | BiseError]] = {}
        self._places: dict[str, TellPlace] = {}  # whom to tell a number in the line of those that wait
        self._numbers = count()
        self._is_ready = False
        self._settled = asyncio.Event()  # ready, or `_trouble` says why not
        self._trouble: BiseError | None = None
        self._silence_s = 0.0  # since the child's last message
        self._child: Process | None = None
        self._supervisor: asyncio.Task[None] | None = None

    @classmethod
    async def start(
        cls,
        directory: Path,
        config: EngineConfig | None = None,
        progress: Progress | None = None,
        supervision: Supervision | None = None,
        worker: Sequence[str] = WORKER,
    ) -> "EngineProcess":
        """Start the child and wait until it can answer; `progress` is told of each kernel that is compiled or loaded.

        `worker` is the command of the child, which speaks the messages of `protocol.py`.

        Raises:
            InputError: the model's files are damaged.
            UnavailableError: the child ended before it was ready.
        """
        engine = cls(directory, config or EngineConfig(), progress, supervision or Supervision(), worker)
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
        return self._is_ready

    @property
    def process_id(self) -> int | None:
        """The child's process id, or None between two children."""
        return self._child.pid if self._child is not None else None

    @property
    def num_requests(self) -> int:
        """Requests in flight."""
        return len(self._requests)

    async def generate(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        *,
        tenant: str = "",
        priority: Priority = "interactive",
        adapter: AdapterRef | None = None,
        grammar: Grammar | None = None,
        place: TellPlace | None = None,
    ) -> AsyncGenerator[StepOutput, None]:
        """Yield a request's outputs until each of its answers has a finish reason.

        Closing the iterator cancels within a step. Prompts are shared and time is divided by `tenant`. While it waits,
        `place` hears about once a second the request's number in the line; it is 0 once it has a place.

        Raises:
            InputError: the request is wrong, for example longer than the context, or its adapter or grammar is.
            NotFoundError: its adapter is not there.
            UnavailableError: the engine died meanwhile, or cannot be started.
        """
        request = Request("", prompt_ids, params, tenant, priority, adapter, grammar)
        async with aclosing(self._outputs(request, place)) as outputs:
            async for output in outputs:
                yield output

    def end_answer(self, output: StepOutput) -> None:
        """End the answer that an output of `generate` belongs to; the request's others go on."""
        self._deliver(output.request_id, StepOutput(output.request_id, (), "stop", output.index))
        if output.request_id in self._requests and self._is_ready:
            self._post(Cancel(output.request_id, output.index))

    async def embed(
        self, prompt_ids: Sequence[int], *, tenant: str = "", adapter: AdapterRef | None = None
    ) -> tuple[float, ...]:
        """Give the vector of a text, of length 1; raises what `generate` raises."""
        request = Request("", prompt_ids, SamplingParams(max_tokens=1), tenant, adapter=adapter, embeds=True)
        async with aclosing(self._outputs(request)) as outputs:
            async for output in outputs:
                if output.embedding is None:
                    raise UnavailableError("The model computed values that are not numbers. Ask again.")
                return output.embedding
        raise AssertionError("a request ends with an output")

    async def _outputs(self, request: Request, place: TellPlace | None = None) -> AsyncGenerator[StepOutput, None]:
        await self._wait_until_ready()
        request_id = str(next(self._numbers))
        outputs = self._requests[request_id] = asyncio.Queue()
        unfinished = set(range(request.params.n))
        if place is not None:
            self._places[request_id] = place
        try:
            await self._send(Add(replace(request, request_id=request_id)))
            while unfinished:
                output = await outputs.get()
                if isinstance(output, BiseError):
                    raise output
                if output.index not in unfinished:  # it was ended meanwhile
                    continue
                if output.finish_reason is not None:
                    unfinished.discard(output.index)
                if not unfinished:
                    del self._requests[request_id]
                yield output
        finally:
            self._places.pop(request_id, None)
            if self._requests.pop(request_id, None) is not None and self._is_ready:
                self._post(Cancel(request_id))

    def drop_adapter(self, key: str) -> None:
        """Free an adapter's memory as soon as no request uses it."""
        if self._is_ready:
            self._post(DropAdapter(key))

    async def close(self) -> None:
        """End the child; requests in flight end with an UnavailableError."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor

    async def _wait_until_ready(self) -> None:
        await self._settled.wait()
        if self._trouble is not None:
            raise self._trouble

    async def _supervise(self) -> None:
        watchdog = asyncio.create_task(self._watch())
        try:
            await self._keep_running()
        finally:  # whatever ended it, nobody may be left waiting
            watchdog.cancel()
            self._trouble = self._trouble or UnavailableError("The engine has been closed.")
            self._end_requests(self._trouble)
            self._settled.set()

    async def _keep_running(self) -> None:
        """Run one child after the other; returns only when the first never got ready."""
        supervision, num_failures = self._supervision, 0
        while True:
            ending, ready_s = await self._run_child()
            if self.max_length == 0:
                self._trouble = _before_ready(ending)
                return
            num_failures = 1 if ready_s >= supervision.stable_s else num_failures + 1
            pause_s = min(supervision.first_pause_s * 2 ** min(num_failures - 1, 30), supervision.longest_pause_s)
            log.error("%s; starting it again in %.1f s", str(ending).rstrip("."), pause_s)
            if not isinstance(ending, _ChildEndedError):
                trouble = UnavailableError(str(ending))  # whatever it is, it is no fault of a request
                self._end_requests(trouble)
                self._give_up(trouble)  # it was said what is wrong: waiting does not mend it
            else:
                self._end_requests(_interrupted(ending))
                if num_failures >= supervision.patience:
                    self._give_up(_hopeless(ending, num_failures, supervision))
            await asyncio.sleep(pause_s)
            self.num_restarts += 1

    def _give_up(self, trouble: UnavailableError) -> None:
        """Refuse requests until a child is ready again."""
        self._trouble = trouble
        self._settled.set()

    async def _run_child(self) -> tuple[BiseError, float]:
        """Run one child to its end; returns why it ended, and for how many seconds it had been ready."""
        loop = asyncio.get_running_loop()
        # A session of its own: Ctrl-C in a terminal is for the server, which then closes us.
        child = await asyncio.create_subprocess_exec(
            *self._worker, stdin=PIPE, stdout=PIPE, limit=_LONGEST_LINE, start_new_session=True
        )
        self._child, self._silence_s = child, 0.0
        self._post(Start(protocol.VERSION, os.getpid(), str(self.directory), self._config))
        failure: BiseError | None = None
        ready_at = loop.time()
        assert child.stdout is not None
        try:
            async for line in child.stdout:
                if not line.endswith(b"\n"):
                    break  # it died in the middle of a word
                message = protocol.read_to_server(line)
                self._silence_s = 0.0
                failure = self._handle(message) or failure
                ready_at = loop.time() if isinstance(message, Ready) else ready_at
        except protocol.ProtocolError as error:
            failure = error
        finally:
            ready_s = loop.time() - ready_at if self._is_ready else 0.0
            self._child, self._is_ready, self.stats = None, False, None
            if self._trouble is None:
                self._settled.clear()
            await _end(child)
        return failure or _ChildEndedError(f"The engine process {self._describe_end(child.returncode)}"), ready_s

    def _describe_end(self, status: int | None) -> str:
        if self._silence_s >= self._supervision.hang_s:
            return f"made no step for {self._silence_s:.0f} s and was killed"
        if status == -signal.SIGKILL:
            return "was ended by SIGKILL (as the system does when memory runs out)"
        if status is not None and status < 0:
            return f"was ended by {signal.Signals(-status).name}"
        return f"ended with exit code {status}"

    def _handle(self, message: protocol.ToServer) -> BiseError | None:
        """Act on one message of the child; returns an error when the child could not start."""
        match message:
            case Outputs(outputs):
                for output in outputs:
                    self._deliver(output.request_id, output)
            case Refused():
                self._deliver(message.request_id, protocol.error_of(message))
            case Stats(stats, waiting):
                self.stats = stats
                self._tell_places(waiting)
            case protocol.Progress():
                if self._progress is not None:
                    self._progress(message.kernel, message.done, message.total)
            case Hello(version):
                protocol.check_version(version)
            case Ready():
                self._take_up(message)
            case Failed():
                return protocol.error_of(message)
        return None

    def _tell_places(self, waiting: Sequence[str]) -> None:
        """Tell each request its number in the line of those that wait, from 1; 0 when it does not wait."""
        order = {request_id: place for place, request_id in enumerate(waiting, start=1)}
        for request_id, tell in self._places.items():
            tell(order.get(request_id, 0))

    def _take_up(self, ready: Ready) -> None:
        self.kernels, self.max_length = ready.kernels, ready.max_length
        if ready.reason is not None:
            log.warning("The engine runs on its slow NumPy path: %s", ready.reason)
        self._is_ready, self._trouble = True, None
        self._settled.set()

    async def _watch(self) -> None:
        """Kill a child that says nothing for too long while requests wait for it.

        Ticks are counted, not hours: while this process is stopped, the child's silence means nothing.
        """
        tick_s = self._supervision.hang_s / 10
        while True:
            await asyncio.sleep(tick_s)
            self._silence_s = self._silence_s + tick_s if self._requests and self._is_ready else 0.0
            if self._silence_s >= self._supervision.hang_s and self._child is not None:
                self._child.kill()

    def _deliver(self, request_id: str, output: StepOutput | BiseError) -> None:
        if request_id in self._requests:  # else it was cancelled while the step ran
            self._requests[request_id].put_nowait(output)

    def _end_requests(self, error: BiseError) -> None:
        for outputs in self._requests.values():
            outputs.put_nowait(error)
        self._requests.clear()

    def _post(self, message: protocol.ToEngine) -> None:
        if self._child is not None and self._child.stdin is not None and not self._child.stdin.is_closing():
            self._child.stdin.write(protocol.encode(message))

    async def _send(self, message: protocol.ToEngine) -> None:
        self._post(message)
        if self._child is not None and self._child.stdin is not None:
            with suppress(ConnectionError):  # the child has died: the supervisor is about to tell every request
                await self._child.stdin.drain()


class _ChildEndedError(UnavailableError):
    """The child ended without a word."""


def _before_ready(ending: BiseError) -> BiseError:
    if not isinstance(ending, _ChildEndedError):
        return ending
    return UnavailableError(f"{ending} before it was ready. What it printed says why.")


def _interrupted(ending: BiseError) -> UnavailableError:
    message = f"{ending} while it was answering. It is being restarted: ask again."
    return UnavailableError(message, code="engine_interrupted")


def _hopeless(ending: BiseError, num_failures: int, supervision: Supervision) -> UnavailableError:
    return UnavailableError(
        f"{ending}, {num_failures} times in a row. It is tried again at least every {supervision.longest_pause_s:.0f} s. "
        "The words in the server's terminal say more. If memory is short, close other programs or use a smaller model.",
        code="engine_failing",
    )


async def _end(child: Process) -> None:
    """End a child that may still run: it exits when its stdin closes, and is killed when it does not at once.

    Those who wait for an answer hear of its end only after this, so the time is short.
    """
    if child.stdin is not None:
        child.stdin.close()
    try:
        await asyncio.wait_for(child.wait(), _GRACE_S)
    except TimeoutError:
        child.kill()
        await child.wait()
