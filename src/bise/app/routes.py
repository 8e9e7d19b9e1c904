"""What the page asks the server: `/api`, for a browser with the cookie of its owner."""

from typing import Annotated, Any, TypeVar, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel, StringConstraints, ValidationError

from bise import __version__
from bise.app.generation import Generations, show_message
from bise.app.session import SignedIn, enter
from bise.server.api import backend_of
from bise.server.errors import ApiError, from_validation
from bise.server.streams import EventStream
from bise.store.branches import AnswerSettings, BusyError, Question, add_turn
from bise.store.conversations import (
    StoredConversation,
    create_conversation,
    delete_conversation,
    list_conversations,
    rename_conversation,
)
from bise.store.database import Database
from bise.store.turns import conversation_of_message

router = APIRouter()
Body = TypeVar("Body", bound=BaseModel)


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("the text is empty: write something first")
    if "\0" in text:
        raise ValueError("the text has a NUL character, which no message can hold")
    return text


Text = Annotated[str, AfterValidator(_not_blank)]


class NewMessage(BaseModel):
    """A message to send; `client_id` is the browser's own name for it."""

    content: Text
    client_id: Annotated[Text, StringConstraints(max_length=100)]


class NewTitle(BaseModel):
    """Another title."""

    title: Annotated[Text, StringConstraints(max_length=1000)]


@router.get("/enter")
async def enter_page(request: Request, token: str = "") -> Response:
    """Let the owner's browser in."""
    return await enter(request, token)


@router.get("/api/state")
async def show_state(request: Request, user: SignedIn) -> Response:
    """Tell what the page needs to know at its start."""
    models = backend_of(request).models()
    default = models[0]
    return _json(
        {
            "user": {"name": user.name},
            "version": __version__,
            "model": {
                "id": default.id,
                "demonstration": default.demonstration,
                "context_length": default.context_length,
                "card_markdown": default.card_markdown,
            },
            "models": [{"id": model.id, "parent": model.parent} for model in models],
        }
    )


@router.get("/api/conversations")
async def show_conversations(request: Request, user: SignedIn) -> Response:
    """List the conversations, the latest first."""
    conversations = await list_conversations(_database(request), user.id)
    return _json({"conversations": [_summary(conversation) for conversation in conversations]})


@router.post("/api/conversations")
async def begin_conversation(request: Request, user: SignedIn) -> Response:
    """Begin an empty conversation."""
    return _json(_summary(await create_conversation(_database(request), user.id)), 201)


@router.get("/api/conversations/{conversation_id}")
async def show_conversation(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Show a conversation with its messages."""
    conversation, messages = await _generations(request).look(user.id, conversation_id)
    shown = {"last_event": conversation.last_event, "messages": [show_message(message) for message in messages]}
    return _json(_summary(conversation) | shown)


@router.patch("/api/conversations/{conversation_id}")
async def change_title(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Give a conversation another title."""
    body = await _read(request, NewTitle)
    return _json(_summary(await rename_conversation(_database(request), user.id, conversation_id, body.title)))


@router.delete("/api/conversations/{conversation_id}")
async def remove_conversation(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Delete a conversation; an answer in the making ends."""
    generations = _generations(request)
    await generations.look(user.id, conversation_id)  # whose is it?
    await generations.forget(conversation_id)
    await delete_conversation(_database(request), user.id, conversation_id)
    return Response(status_code=204)


@router.post("/api/conversations/{conversation_id}/messages")
async def send_message(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Keep a message and begin the answer; the same message sent twice is one."""
    body = await _read(request, NewMessage)
    model = backend_of(request).models()[0]
    try:
        question = Question(body.content, body.client_id)
        turn = await add_turn(_database(request), user.id, conversation_id, question, AnswerSettings(model.id))
    except BusyError as error:
        raise ApiError(409, str(error), code="busy") from None
    if turn.is_new:
        _generations(request).start(user.id, conversation_id, turn, model)
    shown = {"user_message": turn.user_message, "assistant_message": turn.assistant_message}
    return _json({name: show_message(message) for name, message in shown.items()}, 202)


@router.get("/api/conversations/{conversation_id}/events")
async def follow_events(request: Request, user: SignedIn, conversation_id: str, after: str = "0") -> Response:
    """Stream a conversation's events after a number; `Last-Event-ID` says the number of a broken stream."""
    number = request.headers.get("last-event-id", after)
    if not (number.isascii() and number.isdecimal() and len(number) < 20):
        raise ApiError(400, f"after is {number[:20]!r}, but must be the number of an event.", code="after")
    generations = _generations(request)
    conversation, messages = await generations.look(user.id, conversation_id)
    return EventStream(generations.follow(conversation, messages, int(number)))


@router.post("/api/messages/{message_id}/stop")
async def stop_message(request: Request, user: SignedIn, message_id: str) -> Response:
    """Stop an answer; what it says so far is kept."""
    conversation_id = await conversation_of_message(_database(request), user.id, message_id)
    await _generations(request).stop(conversation_id, message_id)
    return Response(status_code=204)


def _summary(conversation: StoredConversation) -> dict[str, object]:
    return {
        "id": conversation.id,
        "title": conversation.title,
        "updated_at": conversation.updated_at.isoformat(),
        "generating": conversation.generating,
    }


async def _read(request: Request, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise from_validation(error) from None


def _json(content: dict[str, Any], status: int = 200) -> JSONResponse:
    return JSONResponse(content, status, headers={"cache-control": "no-store"})


def _database(request: Request) -> Database:
    return cast(Database, request.app.state.database)


def _generations(request: Request) -> Generations:
    return cast(Generations, request.app.state.generations)
