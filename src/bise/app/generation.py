"""Answers as jobs of the server: a browser may come, go and come back; only stopping, or the end, ends them.

A job asks the backend, publishes each piece of text as a numbered event, keeps the text in the database every half
second, and at the end keeps the whole message before it says "done". Stopping frees the backend at once.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from bise.app.events import EventLog, encode
from bise.app.history import fit, spoken
from bise.app.job import Job
from bise.errors import BiseError, UnavailableError
from bise.messages import Conversation, Message
from bise.server.admission import Admission, CallersBackend
from bise.server.backend import (
    DEFAULT_TEMPERATURE,
    ChatRequest,
    Finished,
    ModelInfo,
    Sampling,
    TextDelta,
    ThinkingDelta,
)
from bise.server.errors import OUR_MISTAKE
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
NUM_ALTERNATIVES = 5  # that are kept for each token
_CLOSING_S = 3.0


class Generations:
    """The answers in the making, and the events of the conversations that were lately spoken in or looked at."""

    def __init__(self, database: Database, admission: Admission, accounts: Database | None = None) -> None:
        self._database = database
        self._accounts = accounts or database  # where it is written what people may use
        self._admission = admission
        self._logs: dict[str, EventLog] = {}  # by conversation, the longest unused first
        self._jobs: dict[str, Job] = {}  # by conversation, the latest answer, running or ended

    def start(self, owner: str, conversation_id: str, turn: Turn, model: ModelInfo) -> None:
        """Begin the answer to a turn that is in the database."""
        events = self._log(conversation_id, turn.first_event)
        events.trim()
        job = Job.begin(owner, conversation_id, turn.assistant_message, events)
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
        conversation, messages = await get_conversation(self._database, job.owner, job.conversation_id)
        logprobs = NUM_ALTERNATIVES if conversation.keeps_probabilities and model.tells_probabilities else None
        prompt = job.message.system_prompt
        said = ((Message("system", prompt),) if prompt else ()) + spoken(messages)
        with self._admission.serve(await caller_of_user(self._accounts, job.owner)) as backend:
            history = await fit(backend, model, said)
            job.dropped_turns = history.dropped_turns
            sampling = await _sampling(job.message, history.conversation, model, backend)
            request = ChatRequest(
                model.id,
                history.conversation,
                replace(sampling, logprobs=logprobs),
                thinking=True,
                tally=job.tally,
            )
            return await self._answer(job, request, backend)

    async def _answer(self, job: Job, request: ChatRequest, backend: CallersBackend) -> Finished:
        answer = await backend.chat(request)
        async with aclosing(answer):
            async for event in answer:
                if isinstance(event, Finished):
                    return event
                if isinstance(event, TextDelta | ThinkingDelta):
                    job.take(event)
        raise AssertionError("a backend ends its answers with Finished")

    async def _run(self, job: Job, writing: "asyncio.Task[Finished]") -> None:
        saving = asyncio.create_task(self._keep_saving(job))
        await asyncio.wait({writing})
        saving.cancel()
        await asyncio.wait({saving})
        ended = _outcome(job, writing)
        while True:
            number = job.events.last + 1  # that of "done"
            if await _saved(finish_answer(self._database, job.conversation_id, ended, number, job.kept_tokens())):
                break
            await asyncio.sleep(_RETRY_SAVING_S)
        job.close(ended)
        job.events.publish("done", {"message": show_message(ended)})
        self._drop_idle_logs()

    async def _keep_saving(self, job: Job) -> None:
        num_saved = 0
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            job.tell_place()
            if job.num_pieces > num_saved:
                told, num_pieces = job.told(), job.num_pieces
                if await _saved(save_partial_answer(self._database, told.id, told.content, told.thinking)):
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
    """Write a message as the browser reads it; of 500 of them, `asdict` would copy for as long as the database reads."""
    return vars(message) | {
        "created_at": message.created_at.isoformat(),
        "rating": vars(message.rating) if message.rating is not None else None,
        "preferences": [vars(preference) for preference in message.preferences],
    }


async def _sampling(
    message: StoredMessage, conversation: Conversation, model: ModelInfo, backend: CallersBackend
) -> Sampling:
    """How an answer's tokens are chosen; a longest length that the context does not leave is what the context leaves."""
    asked: dict[str, Any] = {"temperature": DEFAULT_TEMPERATURE, **(message.parameters or {})}
    longest = asked.get("max_tokens")
    if longest is not None and await backend.count_tokens(model.id, conversation) + longest > model.context_length:
        asked["max_tokens"] = None
    return Sampling(**asked)


def _outcome(job: Job, writing: "asyncio.Task[Finished]") -> StoredMessage:
    message = job.told()
    if writing.cancelled():
        return replace(message, status=job.ended_by or INTERRUPTED)
    error = writing.exception()
    if error is None:
        end = writing.result()
        return replace(message, status=COMPLETE, finish_reason=end.finish_reason)
    if isinstance(error, BiseError):
        return replace(message, status=FAILED, error=str(error), error_facts=error.facts)
    log.error("An answer failed by our own mistake.", exc_info=error)
    return replace(message, status=FAILED, error=str(OUR_MISTAKE), error_facts=OUR_MISTAKE.facts)
