"""Starting everything: the database, the engine, the API and the chat, on one address."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp

from bise.app.account import router as account_router
from bise.app.admin_routes import router as admin_router
from bise.app.archive_reading import MAX_FILE_BYTES
from bise.app.archive_routes import UPLOAD
from bise.app.archive_routes import router as archive_router
from bise.app.chat_settings import router as settings_router
from bise.app.deleted_routes import purge_regularly
from bise.app.deleted_routes import router as deleted_router
from bise.app.door import router as door_router
from bise.app.feedback import router as feedback_router
from bise.app.folders import router as folders_router
from bise.app.generation import Generations
from bise.app.importing import Imports
from bise.app.learning import Learning
from bise.app.learning_routes import router as learning_router
from bise.app.oidc import SingleSignOn
from bise.app.oidc_routes import router as oidc_router
from bise.app.page import page_router
from bise.app.provenance import Provenance
from bise.app.provenance_routes import router as provenance_router
from bise.app.pulling import Pulling
from bise.app.routes import router
from bise.app.search import index_regularly
from bise.app.search import router as search_router
from bise.app.session import Entrance
from bise.app.shares import router as shares_router
from bise.app.stored import router as stored_router
from bise.app.temporary import TemporaryChats
from bise.app.temporary_routes import router as temporary_router
from bise.engine.process import Progress
from bise.errors import InputError
from bise.server.admission import Admission
from bise.server.api import create_api
from bise.server.errors import ApiError
from bise.server.gateway import Gateway
from bise.server.guard import ONLY_LOOPBACK, Guard, Names, is_loopback
from bise.server.listen import Server, bind
from bise.server.local import LocalBackend
from bise.server.metrics import Metrics
from bise.server.remote import RemoteBackend
from bise.server.request_log import RequestLog
from bise.server.settings import STANDARD, ServerSettings
from bise.server.upstream import Upstream
from bise.store.accounts import local_owner
from bise.store.administration import has_admin
from bise.store.audit import RoleError
from bise.store.branches import BusyError
from bise.store.database import Database, open_database
from bise.store.turns import mark_interrupted

ROUTERS = (
    door_router,
    account_router,
    oidc_router,
    admin_router,
    router,
    settings_router,
    feedback_router,
    deleted_router,
    search_router,
    archive_router,
    folders_router,
    stored_router,
    shares_router,
    temporary_router,
    learning_router,
    provenance_router,
)


@dataclass(frozen=True)
class Announcements:
    """Whom to tell what happens."""

    # Where it listens, the token that lets the owner's browser in, and the code for the first admin, each if any.
    address: Callable[[str, str, str], None]
    progress: Progress  # (kernel, done, total) while the engine prepares itself for this processor
    ready: Callable[[str], None]  # the model that answers now


def create_app(
    admission: Admission,
    database: Database,
    generations: Generations,
    entrance: Entrance,
    learning: Learning,
    static: Path | None = None,
    names: Names = ONLY_LOOPBACK,
    provenance: Provenance | None = None,
) -> ASGIApp:
    """Build the whole application: `/v1`, `/health`, `/api` and the page, behind the guard."""
    app = create_api(admission, database)
    app.state.generations = generations
    app.state.entrance = entrance
    app.state.learning = learning
    app.state.temporary = TemporaryChats(admission, database)
    app.state.imports = Imports(database)
    app.state.provenance = provenance or Provenance()
    app.state.pulling = Pulling()
    app.add_exception_handler(BusyError, _busy)
    app.add_exception_handler(RoleError, _not_an_admin)
    for each in ROUTERS:
        app.include_router(each)
    app.include_router(page_router(static))
    settings = admission.settings
    inside = RequestLog(app, with_prompts=settings.log_prompts) if settings.log_requests else app
    return Guard(inside, names, {UPLOAD: MAX_FILE_BYTES})


async def _busy(request: Request, error: Exception) -> JSONResponse:
    del request
    assert isinstance(error, BusyError)
    return ApiError(409, str(error), code=error.code, values=error.values).response()


async def _not_an_admin(request: Request, error: Exception) -> JSONResponse:
    del request
    return ApiError(403, str(error), code="role").response()


@dataclass(frozen=True)
class Place:
    """Where to listen, and how others call it."""

    host: str
    port: int
    url: str = ""  # as others type it, for example of a TLS proxy; empty: as we listen

    def __post_init__(self) -> None:
        """Check what would make a server that nobody can reach."""
        address = urlsplit(self.url)
        if self.url and (address.scheme not in ("http", "https") or not address.hostname or address.path.strip("/")):
            raise InputError(f"--url is {self.url!r}, but must be an address without a path: https://chat.example.org")

    @property
    def is_open(self) -> bool:
        """Whether others than this machine may come, directly or through a proxy."""
        return bool(self.url) or not is_loopback(self.host)


async def serve(
    model: Path,
    place: Place,
    announce: Announcements,
    upstreams: Sequence[Upstream] = (),
    settings: ServerSettings = STANDARD,
    draft: Path | None = None,
) -> None:
    """Serve a model directory, for which a smaller model may guess, and the models of other servers, until Ctrl-C.

    Raises:
        InputError: the model or the database is damaged, or the host is not ours.
        UnavailableError: the port is taken, or the engine, the database or another server cannot start.
    """
    local, remote = LocalBackend(model, draft), [RemoteBackend(upstream) for upstream in upstreams]
    backend = Gateway((local, *remote)) if remote else local
    with bind(place.host, place.port) as listener:
        port = listener.getsockname()[1]
        database = await open_database()
        admission = Admission(backend, database, settings, Metrics(lambda: (local.load,)))
        try:
            await mark_interrupted(database)
            entrance = await _entrance(database, place, port, settings)
            for each in remote:
                await each.start()
            generations = Generations(database, admission)
            names = Names(place.is_open, place.host, place.url)
            parts = (admission, database, generations, entrance, Learning())
            app = create_app(*parts, names=names, provenance=Provenance(model))

            def notice() -> None:
                admission.is_closing = True

            async def stop() -> None:
                admission.is_closed = True
                await generations.close()

            server = Server(app, stop, notice, settings)
            serving = asyncio.create_task(server.serve([listener]))
            chores = {asyncio.create_task(chore(database)) for chore in (purge_regularly, index_regularly)}
            announce.address(_address(place, listener.getsockname()), entrance.token, entrance.setup_code)
            try:
                await _load_and_serve(server, serving, local, announce)
            finally:
                for chore in chores:
                    chore.cancel()
                await asyncio.wait(chores)
        finally:
            await backend.close()
            await admission.meter.close()
            await database.close()


async def _entrance(database: Database, place: Place, port: int, settings: ServerSettings) -> Entrance:
    """The local owner's, or that of accounts; without an admin, with a code for whoever sees the terminal."""
    if not place.is_open:
        return Entrance(await local_owner(database), port)
    entrance = Entrance(
        None,
        port,
        url=place.url,
        sign_up=settings.sign_up,
        sign_on=SingleSignOn(settings.oidc),
    )
    async with database.read() as connection:
        if not await has_admin(connection):
            entrance.new_setup_code()
    return entrance


def _address(place: Place, bound: Sequence[Any]) -> str:
    name = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    return place.url.rstrip("/") or f"http://{name}:{bound[1]}"


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
