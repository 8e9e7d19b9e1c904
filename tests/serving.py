"""An application served by the product's own server on a free port of loopback, in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.types import ASGIApp

from bise.server.listen import Server, bind


async def _nothing() -> None:
    pass


@asynccontextmanager
async def serving(app: ASGIApp, on_stopping: Callable[[], Awaitable[None]] = _nothing) -> AsyncIterator[str]:
    listener = bind("127.0.0.1", 0)
    server = Server(app, on_stopping)
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
