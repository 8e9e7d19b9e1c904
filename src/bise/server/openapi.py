"""The OpenAPI document: what each path takes, from the same models that check it."""

from collections.abc import Iterable
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute

from bise import __version__
from bise.server.wire.chat import ChatBody
from bise.server.wire.completions import CompletionBody, FimBody
from bise.server.wire.embeddings import EmbeddingBody
from bise.server.wire.messages import CountBody, MessagesBody
from bise.server.wire.tokens import DetokenizeBody, TokenizeBody

BODIES: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": ChatBody,
    "/v1/completions": CompletionBody,
    "/v1/fim/completions": FimBody,
    "/v1/embeddings": EmbeddingBody,
    "/v1/messages": MessagesBody,
    "/v1/messages/count_tokens": CountBody,
    "/openai/deployments/{deployment}/chat/completions": ChatBody,
    "/openai/deployments/{deployment}/completions": CompletionBody,
    "/openai/deployments/{deployment}/embeddings": EmbeddingBody,
    "/tokenize": TokenizeBody,
    "/v1/tokenize": TokenizeBody,
    "/detokenize": DetokenizeBody,
    "/v1/detokenize": DetokenizeBody,
}
_OPEN = ("/health", "/ready")
_ERROR = {
    "type": "object",
    "required": ["error", "message", "detail"],
    "properties": {"error": {"type": "object"}, "message": {"type": "string"}, "detail": {"type": "array"}},
}


def document(routes: Iterable[BaseRoute]) -> dict[str, Any]:
    """Build the document of these routes."""
    kinds = sorted(set(BODIES.values()), key=lambda kind: kind.__name__)
    template = "#/components/schemas/{model}"
    _, schemas = models_json_schema([(kind, "validation") for kind in kinds], ref_template=template)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        assert isinstance(route, APIRoute)
        path = route.path.replace(":path}", "}")
        for method in sorted(route.methods or ()):
            paths.setdefault(path, {})[method.lower()] = _operation(path, route.description)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Bise", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], "Error": _ERROR},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}],
    }


def _operation(path: str, description: str) -> dict[str, Any]:
    error = {
        "description": "An error",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    operation: dict[str, Any] = {
        "description": description,
        "responses": {"200": {"description": "The answer"}, "4XX": error, "503": error},
    }
    names = [part.strip("{}") for part in path.split("/") if part.startswith("{")]
    operation["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    if path in BODIES:
        schema = {"$ref": f"#/components/schemas/{BODIES[path].__name__}"}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if path in _OPEN:
        operation["security"] = []
    return operation
