"""Answers that take their time: server-sent events, and work that ends when the client goes away."""

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine
from contextlib import aclosing
from typing import Any, TypeVar

from fastapi import Request
from starlette.responses import StreamingResponse
from starlette.types import Send

Result = TypeVar("Result")
DONE = b"data: [DONE]\n\n"


class EventStream(StreamingResponse):
    """Server-sent events from an async generator, which is closed at once when the client goes away."""

    def __init__(self, events: AsyncGenerator[bytes, None], headers: dict[str, str] | None = None) -> None:
        fixed = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, headers={**fixed, **(headers or {})}, media_type="text/event-stream")
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """Send everything; a cancelled sender still closes the generator before it goes."""
        async with aclosing(self._events):
            await super().stream_response(send)


class ClientGoneError(Exception):
    """Nobody waits for the answer any more; there is nobody to tell."""


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Do the work, and cancel it when the client goes away.

    Raises:
        ClientGoneError: it went away; the work has ended.
    """
    task = asyncio.create_task(work)
    watch = asyncio.create_task(_until_disconnect(request))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for each in (task, watch):
            each.cancel()
        await asyncio.wait({task, watch})


def sse(data: object) -> bytes:
    """Write one server-sent event as OpenAI's API does: data only."""
    return b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _until_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
