"""The OpenAPI document of what the page is told. `make document` writes it for the client."""

import json
import sys
from collections.abc import Iterable
from typing import Any

from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from bise.app.start import ROUTERS


def document() -> dict[str, Any]:
    """Build the document: each path that tells the page something, and the schema of its reply."""
    routes = list(telling(route for router in ROUTERS for route in router.routes))
    built = get_openapi(
        title="What Bise tells its page", version="1", routes=routes, separate_input_output_schemas=False
    )
    schemas = built["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):  # bodies are read by hand, and refused in one way
        schemas.pop(name, None)
    return {**built, "paths": _paths(built["paths"]), "components": {"schemas": _without_titles(schemas)}}


def telling(routes: Iterable[BaseRoute]) -> Iterable[APIRoute]:
    """The routes that have a reply of their own; those for temporary conversations repeat others."""
    for route in routes:
        if isinstance(route, APIRoute) and route.response_model and not route.path.startswith("/api/temporary/"):
            yield route


def _paths(paths: dict[str, Any]) -> dict[str, Any]:
    for operation in (each for operations in paths.values() for each in operations.values()):
        operation["responses"].pop("422", None)
        for made_up in ("summary", "operationId"):
            del operation[made_up]
    return paths


def _without_titles(value: Any) -> Any:
    """Drop the titles that repeat names."""
    if isinstance(value, dict):
        return {key: _without_titles(each) for key, each in value.items() if key != "title" or isinstance(each, dict)}
    return [_without_titles(each) for each in value] if isinstance(value, list) else value


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
