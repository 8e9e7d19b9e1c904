"""POST /v1/messages and /v1/messages/count_tokens, in Anthropic's dialect."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from bise.errors import BiseError
from bise.server.answering import find_model, headers_for, read_body, respond
from bise.server.auth import Inference
from bise.server.backend import ChatEvent
from bise.server.errors import as_api_error
from bise.server.wire.chat_answers import Choice, Object
from bise.server.wire.message_answers import MessageEvents, whole_message
from bise.server.wire.messages import CountBody, MessagesBody

router = APIRouter()


@router.post("/v1/messages")
async def messages(request: Request, backend: Inference) -> Response:
    """Answer a conversation, whole or streamed."""
    body = await read_body(request, MessagesBody)
    model = find_model(backend, body.model)
    chat = body.to_request()
    answer = await backend.chat(chat)
    write = partial(stream_events, MessageEvents(model.id, chat.thinking))
    collect = partial(whole_answer, model.id, chat.thinking)
    return await respond(request, headers_for(body), answer, write if body.stream else None, collect)


@router.post("/v1/messages/count_tokens")
async def count_tokens(request: Request, backend: Inference) -> Response:
    """Say how long the prompt of a conversation is."""
    body = await read_body(request, CountBody)
    model = find_model(backend, body.model)
    count = await backend.count_tokens(model.id, body.conversation())
    return JSONResponse({"input_tokens": count}, headers=headers_for(body))


async def stream_events(writer: MessageEvents, answer: AsyncGenerator[ChatEvent, None]) -> AsyncGenerator[bytes, None]:
    """Write an answer as events."""
    async with aclosing(answer):
        yield named_event(writer.begin())
        try:
            async for event in answer:
                for told in writer.events(event):
                    yield named_event(told)
        except BiseError as error:
            yield named_event(as_api_error(error).body() | {"type": "error"})


async def whole_answer(model: str, thinking: bool, answer: AsyncGenerator[ChatEvent, None]) -> object:
    """Wait for the answer."""
    choice = Choice()
    async for event in answer:
        choice.add(event)
    return whole_message(model, choice, thinking)


def named_event(data: Object) -> bytes:
    """Write one server-sent event with its type as its name."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {data['type']}\ndata: {text}\n\n".encode()
