"""A server that speaks OpenAI's dialect as a test wants it to, on a port of its own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.serving import serving

CARD = {"id": "theirs", "object": "model", "created": 5, "max_model_len": 128}


def content(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **more}]}


def ending(reason: str = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def usage(prompt: int, answer: int) -> dict[str, Any]:
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": answer}}


@dataclass
class FakeUpstream:
    """Remembers what was asked; answers with `chunks`, after the `refusals` are used up."""

    chunks: list[Any] = field(default_factory=lambda: [content("Good"), content("bye"), ending(), usage(7, 2)])
    refusals: list[Response] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)  # that answers were asked for through
    pause: asyncio.Event | None = None  # waited for after the first chunk
    ends: bool = True  # with [DONE]
    num_streaming: int = 0

    async def answer(self, request: Request) -> Response:
        self.keys.append(request.headers.get("authorization"))
        self.connections.add(request.client)
        self.bodies.append(await request.json())
        if self.refusals:
            return self.refusals.pop(0)
        return StreamingResponse(self._stream(), media_type="text/event-stream")

    async def models(self, _request: Request) -> Response:
        return JSONResponse({"object": "list", "data": [CARD]})

    async def _stream(self) -> AsyncIterator[bytes]:
        self.num_streaming += 1
        try:
            for place, chunk in enumerate(self.chunks):
                if place == 1 and self.pause is not None:
                    await self.pause.wait()
                text = chunk if isinstance(chunk, str) else json.dumps(chunk)
                yield f"data: {text}\n\n".encode()
            if self.ends:
                yield b"data: [DONE]\n\n"
        finally:
            self.num_streaming -= 1


@asynccontextmanager
async def upstream(fake: FakeUpstream) -> AsyncIterator[str]:
    paths = ("chat/completions", "completions", "fim/completions", "embeddings")
    routes = [Route(f"/v1/{path}", fake.answer, methods=["POST"]) for path in paths]
    async with serving(Starlette(routes=[Route("/v1/models", fake.models), *routes])) as root:
        yield f"{root}/v1"
