"""What every route that answers does: read the body, find the model, wait for the first event before the first byte.

A request is checked whole before the first byte of an answer: a stream that has begun can only fail inside itself.
"""

import json
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

from fastapi import Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from bise.server.auth import admission_of
from bise.server.backend import Backend, ModelInfo, no_such_model
from bise.server.errors import from_validation
from bise.server.streams import ClientGoneError, EventStream, while_connected
from bise.server.wire.fields import Body

Event = TypeVar("Event")
AnyBody = TypeVar("AnyBody", bound=Body)
Result = TypeVar("Result")
IGNORED_HEADER = "x-bise-ignored-fields"


async def read_body(request: Request, kind: type[AnyBody]) -> AnyBody:
    """Read and check the body; on Azure's paths the model is named by the path.

    Raises:
        ApiError: 400, naming the first field that is wrong.
    """
    content = await request.body()
    deployment = request.path_params.get("deployment")
    try:
        return kind.model_validate_json(content if deployment is None else _with_model(content, deployment))
    except ValidationError as error:
        raise from_validation(error) from None


def _with_model(content: bytes, deployment: str) -> bytes:
    """The body with its model; what is no JSON object is left for the validation to refuse."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content
    return json.dumps(value | {"model": deployment}).encode() if isinstance(value, dict) else content


def backend_of(request: Request) -> Backend:
    """Give the backend that this server was started with."""
    return admission_of(request).backend


def find_model(backend: Backend, model_id: str) -> ModelInfo:
    """Find a model on offer by its name.

    Raises:
        NotFoundError: there is none; the message lists those that are.
    """
    models = backend.models()
    found = next((model for model in models if model.id == model_id), None)
    if found is None:
        raise no_such_model(model_id, models)
    return found


def head_of(kind: str, model: ModelInfo) -> dict[str, object]:
    """What every piece of an answer begins with: {id, created, model}."""
    return {"id": f"{kind}-{secrets.token_hex(12)}", "created": int(time.time()), "model": model.id}


def headers_for(body: Body) -> dict[str, str]:
    """Headers that tell what had no effect."""
    ignored = body.ignored_fields()
    return {IGNORED_HEADER: ignored} if ignored else {}


async def respond(
    request: Request,
    headers: dict[str, str],
    answer: AsyncGenerator[Event, None],
    stream: Callable[[AsyncGenerator[Event, None]], AsyncGenerator[bytes, None]] | None,
    collect: Callable[[AsyncGenerator[Event, None]], Awaitable[object]],
) -> Response:
    """Answer whole, or as a stream when `stream` says how to write one; work ends when the client goes away."""
    try:
        if stream is not None:
            # Waiting for the first event before the first byte: until then an engine that fails still gets a status.
            first = await while_connected(request, _one(answer))
            return EventStream(stream(_chain(first, answer)), headers)
        whole = await while_connected(request, _whole(answer, collect))
    except ClientGoneError:
        return Response(status_code=499)  # nobody reads it
    return JSONResponse(whole, headers=headers)


async def _one(answer: AsyncGenerator[Event, None]) -> Event:
    return await anext(answer)


async def _chain(first: Event, answer: AsyncGenerator[Event, None]) -> AsyncGenerator[Event, None]:
    """Put the first event back before the others."""
    async with aclosing(answer):
        yield first
        async for event in answer:
            yield event


async def _whole(
    answer: AsyncGenerator[Event, None], collect: Callable[[AsyncGenerator[Event, None]], Awaitable[Result]]
) -> Result:
    async with aclosing(answer):
        return await collect(answer)
