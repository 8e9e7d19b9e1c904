"""What the page's requests share: bodies read strictly, JSON that no cache keeps, and the parts of the application."""

from typing import Annotated, Any, TypeVar, cast

from fastapi import Request
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError

from bise.app.generation import Generations
from bise.app.temporary import TemporaryChats
from bise.server.errors import from_validation
from bise.store.conversations import StoredConversation
from bise.store.database import Database

Body = TypeVar("Body", bound=BaseModel)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty: write something first")
    if "\0" in text:
        raise ValueError("the text has a NUL character, which no message can hold")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]
Id = Annotated[Text, StringConstraints(max_length=100)]


async def read_body(request: Request, model: type[Body]) -> Body:
    """Read and check the body.

    Raises:
        ApiError: 400, naming the first field that is wrong.
    """
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise from_validation(error) from None


def json_response(content: dict[str, Any], status: int = 200) -> JSONResponse:
    """Answer with JSON that is true only now."""
    return JSONResponse(content, status, headers={"cache-control": "no-store"})


def summary(conversation: StoredConversation) -> dict[str, object]:
    """Write a conversation as the page lists it."""
    return {
        "id": conversation.id,
        "title": conversation.title,
        "updated_at": conversation.updated_at.isoformat(),
        "generating": conversation.generating,
        "model": conversation.model,
        "folder_id": conversation.folder_id,
        "pinned": conversation.pinned,
        "settings": show_settings(conversation),
    }


def show_settings(conversation: StoredConversation) -> dict[str, object]:
    """Write how a conversation asks, as the page reads it."""
    return {
        "system_prompt": conversation.system_prompt,
        "parameters": dict(conversation.parameters or {}),
        "keeps_probabilities": conversation.keeps_probabilities,
    }


def temporary_of(request: Request) -> TemporaryChats:
    """Give the conversations that are kept in memory only."""
    return cast(TemporaryChats, request.app.state.temporary)


def database_of(request: Request) -> Database:
    """Give the database that an address is about: the one this server was started with, or the one in memory."""
    return temporary_of(request).database if _is_temporary(request) else cast(Database, request.app.state.database)


def generations_of(request: Request) -> Generations:
    """Give the answers in the making, of the conversations that are kept or of the temporary ones."""
    kept = cast(Generations, request.app.state.generations)
    return temporary_of(request).generations if _is_temporary(request) else kept


def _is_temporary(request: Request) -> bool:
    return request.url.path.startswith("/api/temporary/")
