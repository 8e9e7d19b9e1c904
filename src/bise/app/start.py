"""Starting everything: the database, the engine, the API and the chat, on one address."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from bise.app.feedback import router as feedback_router
from bise.app.generation import Generations
from bise.app.learning import Learning
from bise.app.learning_routes import router as learning_router
from bise.app.page import page_router
from bise.app.routes import router
from bise.app.session import Entrance
from bise.engine.process import Progress
from bise.server.admission import Admission
from bise.server.api import create_api
from bise.server.errors import ApiError
from bise.server.gateway import Gateway
from bise.server.guard import Guard
from bise.server.listen import Server, bind
from bise.server.local import LocalBackend
from bise.server.metrics import Metrics
from bise.server.remote import RemoteBackend
from bise.server.upstream import Upstream
from bise.store.accounts import local_owner
from bise.store.branches import BusyError
from bise.store.database import Database, open_database
from bise.store.turns import mark_interrupted


@dataclass(frozen=True)
class Announcements:
    """Whom to tell what happens."""

    address: Callable[[str], None]  # the address that lets the owner's browser in
    progress: Progress  # (kernel, done, total) while the engine prepares itself for this processor
    ready: Callable[[str], None]  # the model that answers now


def create_app(
    admission: Admission,
    database: Database,
    generations: Generations,
    entrance: Entrance,
    learning: Learning,
    static: Path | None = None,
) -> ASGIApp:
    """Build the whole application: `/v1`, `/health`, `/api` and the page, behind the guard."""
    app = create_api(admission, database)
    app.state.generations = generations
    app.state.entrance = entrance
    app.state.learning = learning
    app.add_exception_handler(BusyError, _busy)
    app.include_router(router)
    app.include_router(feedback_router)
    app.include_router(learning_router)
    app.include_router(page_router(static))
    return Guard(app)


async def _busy(request: Request, error: Exception) -> JSONResponse:
    del request
    return ApiError(409, str(error), code="busy").response()


async def serve(
    model: Path,
    host: str,
    port: int,
    announce: Announcements,
    upstreams: Sequence[Upstream] = (),
    draft: Path | None = None,
) -> None:
    """Serve a model directory, for which a smaller model may guess, and the models of other servers, until Ctrl-C.

    Raises:
        InputError: the model or the database is damaged, or the host is not loopback.
        UnavailableError: the port is taken, or the engine, the database or another server cannot start.
    """
    local, remote = LocalBackend(model, draft), [RemoteBackend(upstream) for upstream in upstreams]
    backend = Gateway((local, *remote)) if remote else local
    with bind(host, port) as listener:
        address = listener.getsockname()
        database = await open_database()
        try:
            await mark_interrupted(database)
            for each in remote:
                await each.start()
            entrance = Entrance(await local_owner(database), address[1])
            admission = Admission(backend, database, metrics=Metrics(lambda: (local.load,)))
            generations = Generations(database, admission)
            server = Server(create_app(admission, database, generations, entrance, Learning()), generations.close)
            serving = asyncio.create_task(server.serve([listener]))
            name = f"[{address[0]}]" if ":" in address[0] else address[0]
            announce.address(f"http://{name}:{address[1]}/enter?token={entrance.token}")
            await _load_and_serve(server, serving, local, announce)
        finally:
            await backend.close()
            await database.close()


async def _load_and_serve(
    server: Server, serving: "asyncio.Task[None]", backend: LocalBackend, announce: Announcements
) -> None:
    """Load the model while the page is served already; a model that cannot be loaded ends the server."""
    loading = asyncio.create_task(backend.start(announce.progress))
    try:
        await asyncio.wait({serving, loading}, return_when=asyncio.FIRST_COMPLETED)
        if loading.done():
            loading.result()
            announce.ready(backend.models()[0].id)
    finally:
        loading.cancel()
        await asyncio.wait({loading})
        if loading.cancelled() or loading.exception() is not None:
            server.should_exit = True
        await serving
