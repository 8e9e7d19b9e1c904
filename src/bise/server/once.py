"""One answer without a server, for the terminal."""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from bise.engine.process import Progress
from bise.errors import InputError
from bise.messages import Conversation, Message
from bise.server.backend import ChatRequest, Finished, ResponseFormat, TextDelta
from bise.server.local import LocalBackend

ANY_TEXT = ResponseFormat()


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    model: str
    text: str
    end: Finished


async def answer_once(
    model: Path,
    question: str,
    write: Callable[[str], None],
    progress: Progress,
    adapter: str | None = None,
    response_format: ResponseFormat = ANY_TEXT,
    draft: Path | None = None,
) -> Answer:
    """Load a model, answer one question, and let go of the model; `write` gets the text as it comes.

    Raises:
        NotFoundError: the model has no such adapter.
        InputError: the question is empty or too long, its schema cannot be kept to, or the model is damaged.
        UnavailableError: the engine cannot start.
    """
    if not question.strip():
        raise InputError('The question is empty. Type for example: bise ask "Who are you?"')
    backend = LocalBackend(model, draft)
    pieces: list[str] = []
    try:
        await backend.start(progress)
        name = backend.models()[0].id + (f":{adapter}" if adapter else "")
        conversation = Conversation((Message("user", question),))
        answer = await backend.chat(ChatRequest(name, conversation, response_format=response_format))
        async with aclosing(answer):
            async for event in answer:
                if isinstance(event, Finished):
                    return Answer(name, "".join(pieces), event)
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                    write(event.text)
        raise AssertionError("a backend ends its answers with Finished")
    finally:
        await backend.close()
