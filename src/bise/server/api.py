"""The routes of `/v1`, for programs with a key, and `/health`, for everybody.

A request is checked whole before the first byte of an answer: a stream that has begun can only fail inside itself.
"""

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import cast

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from bise.errors import BiseError, NotFoundError
from bise.server.auth import ApiUser
from bise.server.backend import Backend, ChatEvent, Finished, ModelInfo, TextDelta
from bise.server.errors import ApiError, as_api_error, from_validation, install_error_handlers
from bise.server.schema import ChatBody, UnsupportedFieldError, chunk, completion, model_card, usage
from bise.server.streams import ClientGoneError, EventStream, sse, while_connected
from bise.store.database import Database

router = APIRouter()


def create_api(backend: Backend, database: Database) -> FastAPI:
    """Build the application with `/v1` and `/health`; serve it behind a `Guard`."""
    api = FastAPI(openapi_url=None, redirect_slashes=False)
    api.state.backend = backend
    api.state.database = database
    install_error_handlers(api)
    api.include_router(router)
    return api


@router.get("/health")
async def health(request: Request) -> Response:
    """Say whether requests would be answered now: 200, or 503 while the model loads or when the engine is dead."""
    ready = backend_of(request).ready
    return JSONResponse({"status": "ok" if ready else "unavailable"}, 200 if ready else 503)


@router.get("/v1/models")
async def list_models(request: Request, _user: ApiUser) -> Response:
    """List the models on offer."""
    return JSONResponse({"object": "list", "data": [model_card(model) for model in backend_of(request).models()]})


@router.get("/v1/models/{model_id:path}")
async def show_model(request: Request, _user: ApiUser, model_id: str) -> Response:
    """Describe one model."""
    return JSONResponse(model_card(find_model(backend_of(request), model_id)))


@router.post("/v1/chat/completions")
async def chat_completions(request: Request, user: ApiUser) -> Response:
    """Answer a conversation, whole or streamed."""
    body = await read_chat_body(request)
    backend = backend_of(request)
    model = find_model(backend, body.model)
    try:
        chat = body.to_request(user.id)
    except UnsupportedFieldError as error:
        raise ApiError(400, str(error), code="unsupported_field", param=error.field) from None
    answer = await backend.chat(chat)
    head: dict[str, object] = {
        "id": f"chatcmpl-{secrets.token_hex(12)}",
        "created": int(time.time()),
        "model": model.id,
    }
    ignored = body.ignored_fields()
    headers = {"x-bise-ignored-fields": ignored} if ignored else {}
    try:
        if body.stream:
            # Waiting for the first event before the first byte: until then an engine that fails still gets a status.
            first = await while_connected(request, read_one(answer))
            include_usage = body.stream_options is not None and body.stream_options.include_usage
            return EventStream(stream_chunks(head, chat.prefix, chain(first, answer), include_usage), headers)
        text, end = await while_connected(request, collect(answer))
    except ClientGoneError:
        return Response(status_code=499)  # nobody reads it
    return JSONResponse(completion(head, chat.prefix + text, end), headers=headers)


async def stream_chunks(
    head: dict[str, object], prefix: str, answer: AsyncGenerator[ChatEvent, None], include_usage: bool
) -> AsyncGenerator[bytes, None]:
    """Write an answer as chunks: the role first, then text, then the end with the usage, then [DONE]."""
    async with aclosing(answer):
        yield sse(chunk(head, {"role": "assistant", "content": prefix}))
        try:
            async for event in answer:
                match event:
                    case TextDelta(text):
                        yield sse(chunk(head, {"content": text}))
                    case Finished() as end:
                        last = chunk(head, {"content": ""}, end.finish_reason)
                        yield sse({**last, "usage": usage(end)})
                        if include_usage:
                            yield sse({**last, "choices": [], "usage": usage(end)})
        except BiseError as error:
            yield sse(as_api_error(error).body())
        yield b"data: [DONE]\n\n"


async def read_one(answer: AsyncGenerator[ChatEvent, None]) -> ChatEvent:
    """Wait for the first event of an answer."""
    return await anext(answer)


async def chain(first: ChatEvent, answer: AsyncGenerator[ChatEvent, None]) -> AsyncGenerator[ChatEvent, None]:
    """Put the first event back before the others."""
    async with aclosing(answer):
        yield first
        async for event in answer:
            yield event


async def collect(answer: AsyncGenerator[ChatEvent, None]) -> tuple[str, Finished]:
    """Wait for a whole answer."""
    pieces: list[str] = []
    async with aclosing(answer):
        async for event in answer:
            if isinstance(event, Finished):
                return "".join(pieces), event
            pieces.append(event.text)
    raise AssertionError("a backend ends its answers with Finished")


async def read_chat_body(request: Request) -> ChatBody:
    """Read and check the body.

    Raises:
        ApiError: 400, naming the first field that is wrong.
    """
    try:
        return ChatBody.model_validate_json(await request.body())
    except ValidationError as error:
        raise from_validation(error) from None


def find_model(backend: Backend, model_id: str) -> ModelInfo:
    """Find a model on offer by its name.

    Raises:
        NotFoundError: there is none; the message lists those that are.
    """
    models = backend.models()
    found = next((model for model in models if model.id == model_id), None)
    if found is None:
        names = ", ".join(model.id for model in models)
        raise NotFoundError(f"There is no model {model_id[:100]!r} here. Models on offer: {names}.")
    return found


def backend_of(request: Request) -> Backend:
    """Give the backend that this server was started with."""
    return cast(Backend, request.app.state.backend)
