"""The one door to a backend: whoever comes through is known, within limits, and counted, whatever route they took.

A route never gets the backend itself, but one that acts for its caller alone: it offers the caller's models only, holds
what a request may use before work starts, says whose it is, and counts to the token what was used, however it ended.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from bise.errors import BiseError, NotFoundError, UnavailableError
from bise.messages import Conversation
from bise.server.backend import (
    Backend,
    ChatEvent,
    ChatRequest,
    CompletionEvent,
    CompletionRequest,
    EmbeddingRequest,
    Embeddings,
    Finished,
    ModelInfo,
    Sampling,
    Tally,
    TextTokenizer,
)
from bise.server.errors import as_api_error
from bise.server.metering import Meter, Reservation
from bise.server.metrics import Metrics
from bise.server.settings import STANDARD, ServerSettings
from bise.store.database import Database
from bise.store.keys import Caller
from bise.store.usage import Counts

Event = TypeVar("Event", ChatEvent, CompletionEvent)
_CHARS_A_TOKEN = 4  # for guesses before a prompt is encoded
_UNNAMED_ANSWER = 256  # tokens that are held for an answer whose longest length the request does not say


class Admission:
    """Lets requests in, as many as the server can hold."""

    def __init__(
        self,
        backend: Backend,
        database: Database,
        settings: ServerSettings = STANDARD,
        metrics: Metrics | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.backend = backend
        self.settings = settings
        self.metrics = metrics or Metrics()
        self.meter = meter or Meter(database)
        self.num_requests = 0  # that are being answered
        self.is_closing = False  # on its way out: /ready says so
        self.is_closed = False  # nobody new comes in

    @property
    def ready(self) -> bool:
        """Whether another server should send requests here."""
        return self.backend.ready and not self.is_closing and self.num_requests < self.settings.max_requests

    @contextmanager
    def serve(self, caller: Caller) -> Iterator["CallersBackend"]:
        """Give a backend for one request of a caller; what it used is counted at the end of the block.

        Raises:
            ApiError: 429, requests come too fast.
            UnavailableError: the server is full, or on its way out.
        """
        with self._counting_refusals():
            self._check_room()
            self.meter.admit(caller)
        backend = CallersBackend(self, caller)
        self.num_requests += 1
        try:
            yield backend
        finally:
            self.num_requests -= 1
            backend.settle()

    async def reserve(self, caller: Caller, reservation: Reservation, num_tokens: int) -> None:
        """Hold what a request may use; raises what `Meter.reserve` raises."""
        with self._counting_refusals():
            await self.meter.reserve(caller, reservation, num_tokens)

    def _check_room(self) -> None:
        if self.is_closed:
            raise UnavailableError("The server is being shut down. Ask again later.", code="shutting_down")
        if self.num_requests >= self.settings.max_requests:
            raise UnavailableError(
                f"The server answers {self.num_requests} requests at the moment and takes no more. Ask again later.",
                code="server_full",
                requests=self.num_requests,
            )

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except BiseError as error:
            self.metrics.refused.labels(as_api_error(error).code).inc()
            raise


@dataclass
class _Work:
    """One thing that a request asked a backend for."""

    model: str
    num_prompt_guess: int
    tally: Tally

    def counts(self) -> Counts:
        """What it used; a prompt whose length nobody told, because the answer was cut off, is as long as was guessed."""
        prompt, completion = self.tally.num_prompt_tokens, self.tally.num_completion_tokens
        return Counts(0, prompt or (self.num_prompt_guess if completion else 0), completion)


class CallersBackend:
    """A backend as one request of one caller has it."""

    def __init__(self, admission: Admission, caller: Caller) -> None:
        self.caller = caller
        self._admission = admission
        self._backend = admission.backend
        self._began = time.perf_counter()
        self._reservation = Reservation()
        self._works: list[_Work] = []

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return self._backend.ready

    def models(self) -> tuple[ModelInfo, ...]:
        """The models that this caller may ask, the default one first."""
        allowed = self.caller.models
        return tuple(model for model in self._backend.models() if allowed is None or model.id in allowed)

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        """Count the tokens of a prompt; this is not billed."""
        self._check_model(model)
        return await self._backend.count_tokens(model, conversation)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Answer a conversation within the caller's limits."""
        num_prompt = sum(_guess(message.content) for message in request.conversation.messages)
        await self._hold(request.model, num_prompt, request.sampling)
        answer = await self._backend.chat(replace(request, tenant=self.caller.user_id))
        self._works.append(_Work(request.model, num_prompt, request.tally))
        return self._watch(request.model, answer)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """Go on with a text within the caller's limits."""
        num_prompt = _guess(request.prompt)
        await self._hold(request.model, num_prompt, request.sampling)
        answer = await self._backend.complete(replace(request, tenant=self.caller.user_id))
        self._works.append(_Work(request.model, num_prompt, request.tally))
        return self._watch(request.model, answer)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Turn texts into vectors within the caller's limits."""
        num_prompt = sum(map(_guess, request.inputs))
        await self._hold(request.model, num_prompt, None)
        made = await self._backend.embed(replace(request, tenant=self.caller.user_id))
        self._works.append(_Work(request.model, num_prompt, Tally(made.num_tokens)))
        return made

    async def tokenizer(self, model: str) -> TextTokenizer:
        """Give a model's vocabulary."""
        self._check_model(model)
        return await self._backend.tokenizer(model)

    async def close(self) -> None:
        """Nothing: the backend is everybody's."""

    def settle(self) -> None:
        """Count what was used, and give back what was held."""
        if not self._reservation.is_held:
            return
        used: dict[str, Counts] = {}
        for work in self._works:
            used[work.model] = used.get(work.model, Counts(1)) + work.counts()
        elapsed_s = time.perf_counter() - self._began
        for model, counts in used.items():
            self._admission.metrics.of(model).ended(counts, elapsed_s)
        self._admission.meter.settle(self.caller, self._reservation, used)

    async def _hold(self, model: str, num_prompt: int, sampling: Sampling | None) -> None:
        """Hold what a request may use; what the backend then refuses is not counted as used."""
        self._check_model(model)
        num_answer = 0
        if sampling is not None:
            longest = _UNNAMED_ANSWER if sampling.max_tokens is None else sampling.max_tokens
            num_answer = longest * sampling.n
        await self._admission.reserve(self.caller, self._reservation, num_prompt + num_answer)

    def _check_model(self, model: str) -> None:
        if self.caller.models is not None and model not in self.caller.models:
            names = ", ".join(each.id for each in self.models())
            message = f"There is no model {model[:100]!r} for this key. It may ask: {names or 'none'}."
            raise NotFoundError(message, code="model_not_found", model=model[:100])

    async def _watch(self, model: str, answer: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
        """Tell the metrics when tokens come."""
        metrics = self._admission.metrics.of(model)
        before: float | None = None
        async with aclosing(answer):
            async for event in answer:
                moment = time.perf_counter()
                if isinstance(event, Finished):
                    metrics.finished(event.finish_reason)
                elif before is None:
                    metrics.first_token.observe(moment - self._began)
                else:
                    metrics.between.observe(moment - before)
                before = moment
                yield event


def _guess(prompt: str | tuple[int, ...]) -> int:
    """How many tokens a prompt has, never none: who has used up everything gets nothing more."""
    return 1 + len(prompt) // _CHARS_A_TOKEN if isinstance(prompt, str) else len(prompt)
