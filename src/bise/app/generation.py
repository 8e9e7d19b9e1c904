"""Answers as jobs of the server: a browser may come, go and come back; only stopping, or the end, ends them.

A job asks the backend, publishes each piece of text as a numbered event, keeps the text in the database every half
second, and at the end keeps the whole message before it says "done". Stopping frees the backend at once.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bise.app.events import EventLog, encode
from bise.app.history import fit, spoken
from bise.errors import BiseError, UnavailableError
from bise.messages import Message
from bise.server.admission import Admission, CallersBackend
from bise.server.backend import DEFAULT_TEMPERATURE, ChatRequest, Finished, ModelInfo, Sampling, TextDelta
from bise.store.branches import RESERVED_EVENTS, Turn
from bise.store.conversations import GENERATING, StoredConversation
from bise.store.database import Database
from bise.store.keys import caller_of_user
from bise.store.turns import (
    COMPLETE,
    FAILED,
    INTERRUPTED,
    STOPPED,
    StoredMessage,
    finish_answer,
    get_conversation,
    save_partial_answer,
)

log = logging.getLogger(__name__)
SAVE_EVERY_S = 0.5
_RETRY_SAVING_S = 1.0
_MAX_LOGS = 256
_CLOSING_S = 3.0
_OUR_MISTAKE = "The server made a mistake. Its log says more; please report it."


@dataclass
class Job:
    """One answer in the making."""

    owner: str
    conversation_id: str
    message: StoredMessage  # as it was opened, or as it ended
    events: EventLog
    pieces: list[str]  # of the text; an answer that is continued begins with what it said before
    started: float = field(default_factory=time.monotonic)
    first_token_at: float | None = None
    dropped_turns: int = 0
    ended_by: str | None = None  # STOPPED or INTERRUPTED, when somebody ended it
    writing: asyncio.Task[Finished] | None = None
    running: asyncio.Task[None] | None = None

    def snapshot(self) -> StoredMessage:
        """Show the message as the events so far have told it."""
        return replace(self.message, content="".join(self.pieces))

    def overlay(self, kept: StoredMessage) -> StoredMessage:
        """Show the message as the events so far have told it, and what was thought of it as the database knows."""
        told = self.snapshot()
        return replace(
            kept,
            content=told.content,
            status=told.status,
            finish_reason=told.finish_reason,
            error=told.error,
            stats=told.stats,
        )

    def end(self, status: str) -> None:
        """Stop writing; what was written stays."""
        assert self.writing is not None
        if not self.writing.done():
            self.ended_by = self.ended_by or status
            self.writing.cancel()


class Generations:
    """The answers in the making, and the events of the conversations that were lately spoken in or looked at."""

    def __init__(self, database: Database, admission: Admission) -> None:
        self._database = database
        self._admission = admission
        self._logs: dict[str, EventLog] = {}  # by conversation, the longest unused first
        self._jobs: dict[str, Job] = {}  # by conversation, the latest answer, running or ended

    def start(self, owner: str, conversation_id: str, turn: Turn, model: ModelInfo) -> None:
        """Begin the answer to a turn that is in the database."""
        events = self._log(conversation_id, turn.first_event)
        events.trim()
        said = turn.assistant_message.content
        job = Job(owner, conversation_id, turn.assistant_message, events, [said] if said else [])
        self._jobs[conversation_id] = job
        job.writing = asyncio.create_task(self._write(job, model))
        job.running = asyncio.create_task(self._run(job, job.writing))

    async def stop(self, conversation_id: str, message_id: str) -> None:
        """Stop an answer and wait until it is kept; without effect when it has ended."""
        job = self._jobs.get(conversation_id)
        if job is not None and job.message.id == message_id:
            await _end(job, STOPPED)

    async def forget(self, conversation_id: str) -> None:
        """End everything about a conversation that is about to be deleted."""
        job = self._jobs.get(conversation_id)
        if job is not None:
            await _end(job, STOPPED)
            self._jobs.pop(conversation_id, None)
        events = self._logs.pop(conversation_id, None)
        if events is not None:
            events.close()

    async def close(self) -> None:
        """Interrupt all answers, keep their text, and end all streams of events."""
        for events in self._logs.values():
            events.close()
        for job in self._jobs.values():
            job.end(INTERRUPTED)
        running = {job.running for job in self._jobs.values() if job.running is not None and not job.running.done()}
        if running:
            _, stuck = await asyncio.wait(running, timeout=_CLOSING_S)
            for task in stuck:  # the database is away; the next start marks these answers
                task.cancel()

    async def look(self, owner: str, conversation_id: str) -> tuple[StoredConversation, tuple[StoredMessage, ...]]:
        """Read a conversation as its events up to `last_event` have told it, not as it was last kept.

        Raises:
            NotFoundError: the owner has no such conversation.
        """
        while True:
            conversation, messages = await get_conversation(self._database, owner, conversation_id)
            job = self._jobs.get(conversation_id)
            if job is None:  # the numbers reserved by an answer that is about to begin have not been told yet
                reserved = RESERVED_EVENTS if conversation.generating else 0
                return replace(conversation, last_event=conversation.last_event - reserved), messages
            if job.message.status != GENERATING or any(message.id == job.message.id for message in messages):
                break  # else the turn was added while we read
        shown = tuple(job.overlay(message) if message.id == job.message.id else message for message in messages)
        generating = any(message.status == GENERATING for message in shown)
        return replace(conversation, last_event=job.events.last, generating=generating), shown

    async def follow(
        self, conversation: StoredConversation, messages: Sequence[StoredMessage], after: int
    ) -> AsyncGenerator[bytes, None]:
        """Yield the events after a number and those to come.

        When those events are not kept any more, the finished answers come whole instead.
        """
        events = self._log(conversation.id, conversation.last_event)
        if not events.first <= after <= events.last:
            finished = [each for each in messages if each.role == "assistant" and each.status != GENERATING]
            for message in finished:
                number = events.first if message is finished[-1] else None
                yield encode("done", {"message": show_message(message)}, number)
            after = events.first
        async with aclosing(events.read(after)) as reader:
            async for event in reader:
                yield event

    async def _write(self, job: Job, model: ModelInfo) -> Finished:
        _, messages = await get_conversation(self._database, job.owner, job.conversation_id)
        prompt = job.message.system_prompt
        said = ((Message("system", prompt),) if prompt else ()) + spoken(messages)
        with self._admission.serve(await caller_of_user(self._database, job.owner)) as backend:
            return await self._answer(job, model, said, backend)

    async def _answer(self, job: Job, model: ModelInfo, said: Sequence[Message], backend: CallersBackend) -> Finished:
        history = await fit(backend, model, said)
        job.dropped_turns = history.dropped_turns
        parameters = job.message.parameters or {}
        request = ChatRequest(
            model.id,
            history.conversation,
            Sampling(parameters.get("temperature", DEFAULT_TEMPERATURE), parameters.get("top_p", 1.0)),
        )
        answer = await backend.chat(request)
        async with aclosing(answer):
            async for event in answer:
                if isinstance(event, Finished):
                    return event
                if isinstance(event, TextDelta):
                    job.first_token_at = job.first_token_at or time.monotonic()
                    job.pieces.append(event.text)
                    job.events.publish("delta", {"message_id": job.message.id, "text": event.text})
        raise AssertionError("a backend ends its answers with Finished")

    async def _run(self, job: Job, writing: "asyncio.Task[Finished]") -> None:
        saving = asyncio.create_task(self._keep_saving(job))
        await asyncio.wait({writing})
        saving.cancel()
        await asyncio.wait({saving})
        ended = _outcome(job, writing)
        while True:
            number = job.events.last + 1  # that of "done"
            if await _saved(finish_answer(self._database, job.conversation_id, ended, number)):
                break
            await asyncio.sleep(_RETRY_SAVING_S)
        job.message = ended
        job.events.publish("done", {"message": show_message(ended)})
        self._drop_idle_logs()

    async def _keep_saving(self, job: Job) -> None:
        num_saved = 0
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            if len(job.pieces) > num_saved:
                content, num_pieces = "".join(job.pieces), len(job.pieces)
                if await _saved(save_partial_answer(self._database, job.message.id, content)):
                    num_saved = num_pieces

    def _log(self, conversation_id: str, last_event: int) -> EventLog:
        events = self._logs.pop(conversation_id, None) or EventLog(last_event)
        self._logs[conversation_id] = events
        return events

    def _drop_idle_logs(self) -> None:
        for conversation_id in list(self._logs):
            if len(self._logs) <= _MAX_LOGS:
                return
            job = self._jobs.get(conversation_id)
            if not self._logs[conversation_id].num_readers and (job is None or job.message.status != GENERATING):
                del self._logs[conversation_id]
                self._jobs.pop(conversation_id, None)


async def _end(job: Job, status: str) -> None:
    assert job.running is not None
    job.end(status)
    await asyncio.wait({job.running})


async def _saved(saving: Coroutine[Any, Any, None]) -> bool:
    try:
        await saving
    except UnavailableError as error:
        log.error("An answer could not be kept yet: %s", error)
        return False
    return True


def show_message(message: StoredMessage) -> dict[str, object]:
    """Write a message as the browser reads it."""
    return asdict(message) | {"created_at": message.created_at.isoformat()}


def _outcome(job: Job, writing: "asyncio.Task[Finished]") -> StoredMessage:
    message = replace(job.snapshot(), stats=_stats(job, None))
    if writing.cancelled():
        return replace(message, status=job.ended_by or INTERRUPTED)
    error = writing.exception()
    if error is None:
        end = writing.result()
        return replace(message, status=COMPLETE, finish_reason=end.finish_reason, stats=_stats(job, end))
    if isinstance(error, BiseError):
        return replace(message, status=FAILED, error=str(error))
    log.error("An answer failed by our own mistake.", exc_info=error)
    return replace(message, status=FAILED, error=_OUR_MISTAKE)


def _stats(job: Job, end: Finished | None) -> dict[str, object]:
    """Tell how fast the answer came: the speed is that of the tokens after the first."""
    first = job.first_token_at
    num_tokens = end.num_completion_tokens if end is not None else None
    speed = None
    if first is not None and num_tokens is not None and num_tokens > 1:
        speed = round((num_tokens - 1) / max(time.monotonic() - first, 1e-6), 1)
    return {
        "first_token_s": round(first - job.started, 3) if first is not None else None,
        "tokens": num_tokens,
        "tokens_per_s": speed,
        "dropped_turns": job.dropped_turns,
    }
