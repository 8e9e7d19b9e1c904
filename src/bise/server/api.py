"""The API for programs with a key, and `/health` and `/ready`, for everybody."""

from fastapi import FastAPI

from bise.server.admission import Admission
from bise.server.auth import KeyRing
from bise.server.errors import install_error_handlers
from bise.server.routes import chat, completions, embeddings, health, messages, models, tokens
from bise.store.database import Database

ROUTERS = (
    health.router,
    models.router,
    chat.router,
    completions.router,
    messages.router,
    embeddings.router,
    tokens.router,
)


def create_api(admission: Admission, database: Database) -> FastAPI:
    """Build the application; serve it behind a `Guard`."""
    api = FastAPI(openapi_url=None, redirect_slashes=False)
    api.state.admission = admission
    api.state.database = database
    api.state.keys = KeyRing(database)
    api.state.routes = [route for router in ROUTERS for route in router.routes]
    install_error_handlers(api)
    for router in ROUTERS:
        api.include_router(router)
    return api
