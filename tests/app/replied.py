"""Holds what the application answers to what its OpenAPI document says of it."""

from collections.abc import Awaitable, Callable

import httpx
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.routing import Match

from bise.app.start import ROUTERS

Hooks = dict[str, list[Callable[[httpx.Response], Awaitable[None]]]]


def as_documented() -> Hooks:
    """For a client: each JSON that tells the page something is, to the letter, what its route promises."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]

    async def check(response: httpx.Response) -> None:
        if response.status_code >= 300 or response.headers.get("content-type") != "application/json":
            return
        request = response.request
        scope = {"type": "http", "path": request.url.path, "method": request.method}
        route = next((each for each in routes if each.matches(scope)[0] is Match.FULL), None)
        if route is not None:
            assert route.response_model is not None, f"{request.method} {route.path} tells what is in no document"
            TypeAdapter(route.response_model).validate_json(await response.aread())

    return {"response": [check]}
