"""POST /v1/chat/completions, in the dialects of OpenAI and Mistral."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

from fastapi import APIRouter, Request, Response

from bise.errors import BiseError
from bise.server.answering import find_model, head_of, headers_for, read_body, respond
from bise.server.auth import Inference
from bise.server.backend import ChatEvent, Finished
from bise.server.errors import as_api_error
from bise.server.streams import DONE, sse
from bise.server.wire.chat import ChatBody
from bise.server.wire.chat_answers import ChatWriter, Choice

router = APIRouter()


@router.post("/v1/chat/completions")
@router.post("/openai/deployments/{deployment}/chat/completions")
async def chat_completions(request: Request, backend: Inference) -> Response:
    """Answer a conversation, whole or streamed."""
    body = await read_body(request, ChatBody)
    model = find_model(backend, body.model)
    chat = body.to_request()
    answer = await backend.chat(chat)
    logprobs = chat.sampling.logprobs is not None
    writer = ChatWriter(head_of("chatcmpl", model), chat.prefix, logprobs, chat.thinking)
    num_answers = chat.sampling.n
    write = partial(stream_chunks, writer, num_answers, body.include_usage)
    collect = partial(whole_answer, writer, num_answers)
    return await respond(request, headers_for(body), answer, write if body.stream else None, collect)


async def stream_chunks(
    writer: ChatWriter, num_answers: int, include_usage: bool, answer: AsyncGenerator[ChatEvent, None]
) -> AsyncGenerator[bytes, None]:
    """Write an answer as chunks: the role first, then text, then the end with the usage, then [DONE]."""
    ends: list[Finished] = []
    async with aclosing(answer):
        for index in range(num_answers):
            yield sse(writer.begin(index))
        try:
            async for event in answer:
                if isinstance(event, Finished):
                    ends.append(event)
                    yield sse(writer.end(event, ends, num_answers))
                elif (chunk := writer.chunk(event)) is not None:
                    yield sse(chunk)
            if include_usage:
                yield sse(writer.usage_alone(ends))
        except BiseError as error:
            yield sse(as_api_error(error).body())
        yield DONE


async def whole_answer(writer: ChatWriter, num_answers: int, answer: AsyncGenerator[ChatEvent, None]) -> object:
    """Wait for all answers."""
    choices = [Choice() for _ in range(num_answers)]
    async for event in answer:
        choices[event.index].add(event)
    return writer.completion(choices)
