"""The built web client: one page and its files."""

import re
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse, PlainTextResponse, Response

from bise.errors import NotFoundError

_NOT_BUILT = """The page of the chat has not been built in this checkout.

Type in the directory of the checkout:  make web
Then load this page again. The API works meanwhile: see `bise admin keys`.
"""
_HASHED = re.compile(r"-[A-Za-z0-9_-]{8}\.\w+$")  # the build puts a hash of the content into most names, not into all
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_FRESH = {"cache-control": "no-cache"}


def page_router(directory: Path | None = None) -> APIRouter:
    """Build the routes of the page, from `static/` beside this file unless told otherwise."""
    static = directory or Path(str(files("bise.app"))) / "static"
    router = APIRouter()

    @router.get("/")
    @router.get("/share")  # the page of a read-only link
    async def page() -> Response:
        index = static / "index.html"
        if not index.is_file():
            return PlainTextResponse(_NOT_BUILT, 503)
        return FileResponse(index, headers=_FRESH)

    @router.get("/assets/{name:path}")
    async def asset(name: str) -> Response:
        headers = _FOREVER if _HASHED.search(name) else _FRESH
        return FileResponse(_inside(static / "assets", name), headers=headers)

    @router.get("/{name}")
    async def file(name: str) -> Response:
        return FileResponse(_inside(static, name), headers=_FRESH)

    return router


def _inside(directory: Path, name: str) -> Path:
    """Find a file in a directory, and never outside of it."""
    path = None if "\0" in name else (directory / name).resolve()
    if path is None or not path.is_relative_to(directory.resolve()) or not path.is_file():
        raise NotFoundError(f"There is nothing at {name[:100]!r}.")
    return path
