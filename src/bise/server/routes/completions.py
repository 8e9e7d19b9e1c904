"""POST /v1/completions, in OpenAI's dialect, and POST /v1/fim/completions, in Mistral's."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial

from fastapi import APIRouter, Request, Response

from bise.errors import BiseError
from bise.server.answering import find_model, head_of, headers_for, read_body, respond
from bise.server.auth import Inference
from bise.server.backend import ChatEvent, CompletionEvent, Finished, TextDelta
from bise.server.errors import as_api_error
from bise.server.routes.chat import stream_chunks, whole_answer
from bise.server.streams import DONE, sse
from bise.server.wire.chat_answers import ChatWriter
from bise.server.wire.completions import Completed, CompletionBody, CompletionWriter, FimBody, total_usage

router = APIRouter()
MAX_AT_ONCE = 16  # prompts of one request that are answered at the same time

Numbered = tuple[int, CompletionEvent]  # by prompt


@router.post("/v1/completions")
@router.post("/openai/deployments/{deployment}/completions")
async def completions(request: Request, backend: Inference) -> Response:
    """Go on with one text or several, whole or streamed."""
    body = await read_body(request, CompletionBody)
    model = find_model(backend, body.model)
    requests = body.to_requests()
    answers = [await backend.complete(each) for each in requests]
    num_answers = requests[0].sampling.n
    writer = CompletionWriter(head_of("cmpl", model), body.logprobs is not None)
    write = partial(stream_completions, writer, num_answers, body.include_usage)
    collect = partial(whole_completions, writer, num_answers, len(requests))
    return await respond(request, headers_for(body), merge(answers), write if body.stream else None, collect)


@router.post("/v1/fim/completions")
async def fill_in_the_middle(request: Request, backend: Inference) -> Response:
    """Write what belongs between a prompt and its suffix; answers look like those of a chat."""
    body = await read_body(request, FimBody)
    model = find_model(backend, body.model)
    asked = body.to_request()
    answer = as_chat(await backend.complete(asked))
    writer, num_answers = ChatWriter(head_of("fim", model)), asked.sampling.n
    write = partial(stream_chunks, writer, num_answers, body.include_usage)
    return await respond(
        request, headers_for(body), answer, write if body.stream else None, partial(whole_answer, writer, num_answers)
    )


async def as_chat(answer: AsyncGenerator[CompletionEvent, None]) -> AsyncGenerator[ChatEvent, None]:
    """The events of a completion that is told like a chat's answer."""
    async with aclosing(answer):
        async for event in answer:
            if isinstance(event, TextDelta | Finished):
                yield event


async def merge(answers: Sequence[AsyncGenerator[CompletionEvent, None]]) -> AsyncGenerator[Numbered, None]:
    """The events of several answers as they come, each with its answer's number; closing it closes all of them."""
    if len(answers) == 1:
        async with aclosing(answers[0]):
            async for event in answers[0]:
                yield 0, event
        return
    events: asyncio.Queue[Numbered | None] = asyncio.Queue()
    places = asyncio.Semaphore(MAX_AT_ONCE)

    async def follow(number: int) -> None:
        async with places, aclosing(answers[number]):
            async for event in answers[number]:
                events.put_nowait((number, event))

    async def follow_all() -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(len(answers)):
                    group.create_task(follow(number))
        finally:
            events.put_nowait(None)

    following = asyncio.create_task(follow_all())
    try:
        while (numbered := await events.get()) is not None:
            yield numbered
        await _result(following)
    finally:
        following.cancel()
        await asyncio.wait({following})
        for answer in answers:  # those that never began
            await answer.aclose()


async def _result(following: "asyncio.Task[None]") -> None:
    """Wait for the end, and raise the first of the errors that it may bring."""
    try:
        await following
    except* BiseError as group:
        raise group.exceptions[0] from None


async def stream_completions(
    writer: CompletionWriter, num_answers: int, include_usage: bool, answer: AsyncGenerator[Numbered, None]
) -> AsyncGenerator[bytes, None]:
    """Write completions as chunks as they come, then [DONE]."""
    ends: list[Finished] = []
    offsets: Counter[int] = Counter()
    async with aclosing(answer):
        try:
            async for number, event in answer:
                index = number * num_answers + event.index
                yield sse(writer.chunk(index, event, offsets[index]))
                if isinstance(event, Finished):
                    ends.append(event)
                else:
                    offsets[index] += len(event.text)
            if include_usage:
                yield sse(writer.usage_alone(total_usage(ends, num_answers)))
        except BiseError as error:
            yield sse(as_api_error(error).body())
        yield DONE


async def whole_completions(
    writer: CompletionWriter, num_answers: int, num_prompts: int, answer: AsyncGenerator[Numbered, None]
) -> object:
    """Wait for all completions."""
    completed = [Completed() for _ in range(num_prompts * num_answers)]
    async for number, event in answer:
        completed[number * num_answers + event.index].add(event)
    return writer.whole(completed, num_answers)
