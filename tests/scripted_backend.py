"""A backend that says what a test wrote for it, and remembers what was asked of it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from bise.errors import NotFoundError
from bise.messages import Conversation
from bise.server.backend import (
    ChatEvent,
    ChatRequest,
    CompletionEvent,
    CompletionRequest,
    ContextOverflowError,
    EmbeddingRequest,
    Embeddings,
    Finished,
    ModelInfo,
    TextDelta,
    UnsupportedError,
)
from bise.server.stop import StopStrings

MODEL = ModelInfo(id="scripted", context_length=64, created=1_700_000_000, card_markdown="# Scripted")
WORDS = ("Bon", "jour", ", ", "wie ", "gęś 🪿", "?")


class ScriptedBackend:
    """Counts one token a word; each step of an answer may be held back or made to fail.

    With `events` its answers are those, whatever is asked.
    """

    def __init__(self, words: Sequence[str] = WORDS) -> None:
        self.words: Sequence[str] = words
        self.offered = [MODEL]
        self.events: Sequence[ChatEvent] = ()
        self.requests: list[ChatRequest] = []
        self.completions: list[CompletionRequest] = []
        self.embeddings: list[EmbeddingRequest] = []
        self.num_running = 0  # answers that somebody still iterates over
        self.num_cancelled = 0  # answers that were closed before their end
        self.ready = True
        self.failure: Exception | None = None  # raised instead of the word after `fail_after`
        self.fail_after = 0
        self.before_word: Callable[[int], Awaitable[object]] | None = None  # awaited before each word
        self.closed = False

    def models(self) -> tuple[ModelInfo, ...]:
        return tuple(self.offered)

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        del model
        return sum(1 + len(message.content.split()) for message in conversation.messages)

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        if request.model not in [model.id for model in self.offered]:
            raise NotFoundError(f"There is no model {request.model}.")
        num_prompt_tokens = await self.count_tokens(request.model, request.conversation)
        max_tokens = request.sampling.max_tokens
        if MODEL.context_length - num_prompt_tokens < (max_tokens or 1):
            raise ContextOverflowError(num_prompt_tokens, max_tokens, MODEL)
        self.requests.append(request)
        return self._answer(request, num_prompt_tokens)

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        self.completions.append(request)
        return self._answer(request, 1)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        self.embeddings.append(request)
        return Embeddings(tuple((0.6, float(index)) for index, _ in enumerate(request.inputs)), len(request.inputs))

    async def tokenizer(self, model: str) -> None:
        raise UnsupportedError(f"{model} has no tokenizer.", "model")

    async def close(self) -> None:
        self.closed = True

    async def _answer(
        self, request: ChatRequest | CompletionRequest, num_prompt_tokens: int
    ) -> AsyncGenerator[ChatEvent, None]:
        words = self.words[: request.sampling.max_tokens]
        stops = StopStrings(request.sampling.stop)
        request.tally.num_prompt_tokens = num_prompt_tokens
        self.num_running += 1
        self.num_cancelled += 1
        try:
            for index, event in enumerate(self.events):
                if self.before_word is not None:
                    await self.before_word(index)
                yield event
            if self.events:
                self.num_cancelled -= 1
                return
            for index, word in enumerate(words):
                if self.before_word is not None:
                    await self.before_word(index)
                if self.failure is not None and index == self.fail_after:
                    raise self.failure
                request.tally.num_completion_tokens += 1
                if text := stops.feed(word):
                    yield TextDelta(text)
                if stops.found:
                    break
            if text := stops.flush():
                yield TextDelta(text)
            self.num_cancelled -= 1
            reason = "stop" if stops.found or len(words) == len(self.words) else "length"
            yield Finished(reason, num_prompt_tokens, len(words), stop=stops.match or None)
        finally:
            self.num_running -= 1


class Gate:
    """Lets an answer go on word by word."""

    def __init__(self) -> None:
        self._passes = asyncio.Semaphore(0)
        self.reached = asyncio.Event()

    async def __call__(self, index: int) -> None:
        del index
        self.reached.set()
        await self._passes.acquire()

    def open(self, times: int = 1_000) -> None:
        for _ in range(times):
            self._passes.release()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what is about to become true."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
