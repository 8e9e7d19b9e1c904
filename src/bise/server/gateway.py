"""Several backends as one: a request goes to those that offer its model, in order, until one takes it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import TypeVar

from bise.errors import UnavailableError
from bise.messages import Conversation
from bise.server.backend import (
    Backend,
    ChatEvent,
    ChatRequest,
    CompletionEvent,
    CompletionRequest,
    EmbeddingRequest,
    Embeddings,
    ModelInfo,
    TextTokenizer,
    no_such_model,
)

Result = TypeVar("Result")


class Gateway:
    """Backends in order of preference; a model that several offer is described by the first."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._backends = tuple(backends)

    @property
    def ready(self) -> bool:
        """Whether one of them would answer now."""
        return any(backend.ready for backend in self._backends)

    def models(self) -> tuple[ModelInfo, ...]:
        """All models, each once."""
        found: dict[str, ModelInfo] = {}
        for backend in self._backends:
            for model in backend.models():
                found.setdefault(model.id, model)
        return tuple(found.values())

    async def count_tokens(self, model: str, conversation: Conversation) -> int:
        """Ask the first that answers."""
        return await self._first(model, lambda backend: backend.count_tokens(model, conversation))

    async def chat(self, request: ChatRequest) -> AsyncGenerator[ChatEvent, None]:
        """Ask the first that begins an answer."""
        return await self._first(request.model, lambda backend: backend.chat(request))

    async def complete(self, request: CompletionRequest) -> AsyncGenerator[CompletionEvent, None]:
        """Ask the first that begins an answer."""
        return await self._first(request.model, lambda backend: backend.complete(request))

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        """Ask the first that answers."""
        return await self._first(request.model, lambda backend: backend.embed(request))

    async def tokenizer(self, model: str) -> TextTokenizer:
        """Ask the first that answers."""
        return await self._first(model, lambda backend: backend.tokenizer(model))

    async def close(self) -> None:
        """Close all of them."""
        await asyncio.gather(*(backend.close() for backend in self._backends))

    async def _first(self, model: str, ask: Callable[[Backend], Awaitable[Result]]) -> Result:
        """Ask one after the other, as long as they are away."""
        backends = [b for b in self._backends if any(each.id == model for each in b.models())]
        if not backends:
            raise no_such_model(model, self.models())
        for backend in backends[:-1]:
            try:
                return await ask(backend)
            except UnavailableError:
                continue
        return await ask(backends[-1])
