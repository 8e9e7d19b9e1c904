"""What the page asks the server: `/api`, for a browser with the cookie of its owner."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StringConstraints

from bise import __version__
from bise.app.chat_settings import ChatSettings
from bise.app.generation import show_message
from bise.app.models import DEFAULT_PARAMETERS, default_model, model_for, settings_for, show_model
from bise.app.replies import chat
from bise.app.requests import Id, Text, database_of, generations_of, json_response, read_body, summary
from bise.app.session import SignedIn, enter, enter_by_link, entrance_of, keep_in
from bise.server.answering import backend_of, find_model
from bise.server.backend import ModelInfo
from bise.server.errors import ApiError
from bise.server.streams import EventStream
from bise.store.accounts import User, choose_default_model
from bise.store.branches import AnswerSettings, Question, Turn, add_answer, add_turn, reopen_answer, show_branch
from bise.store.conversations import (
    StoredConversation,
    choose_model,
    create_conversation,
    list_conversations,
    rename_conversation,
)
from bise.store.deleted import delete_conversation
from bise.store.turns import conversation_of_message

router = APIRouter()


class NewConversation(BaseModel):
    """An empty conversation; `model` answers in it, or without one the default."""

    model: Id | None = None
    settings: ChatSettings = ChatSettings()


class NewMessage(BaseModel):
    """A message to send; `client_id` is the browser's own name for it, `instead_of` a question that it replaces."""

    content: Text
    client_id: Id
    instead_of: Id | None = None


class NewAnswer(BaseModel):
    """Another answer beside one."""

    instead_of: Id
    client_id: Id


class Branch(BaseModel):
    """The message to show of those beside it."""

    message_id: Id


class Change(BaseModel):
    """Another title, or another model for the next answers."""

    title: Annotated[Text, StringConstraints(max_length=1000)] | None = None
    model: Id | None = None


class Settings(BaseModel):
    """Who answers in new conversations; None: as the server was started."""

    default_model: Id | None


@router.get("/enter")
async def enter_page(request: Request, token: str = "") -> Response:
    """Let the owner's browser in, or ask whether somebody's link is to be used."""
    return await enter(request, token)


@router.post("/enter")
async def use_link(request: Request) -> Response:
    """Let somebody's browser in by their link."""
    return await enter_by_link(request)


@router.get("/api/state", response_model=chat.AppState)
async def show_state(request: Request, user: SignedIn) -> Response:
    """Tell what the page needs to know at its start."""
    models = backend_of(request).models()
    answer = json_response(
        {
            "user": {"name": user.name, "role": user.role},
            "accounts": entrance_of(request).user is None,
            "version": __version__,
            "share_links": request.app.state.admission.settings.share_links,
            "default_model": default_model(request, user).id,
            "default_parameters": DEFAULT_PARAMETERS,
            "models": [show_model(model) for model in models],
        }
    )
    return await keep_in(request, answer)


@router.put("/api/settings")
async def change_settings(request: Request, user: SignedIn) -> Response:
    """Choose who answers in new conversations."""
    body = await read_body(request, Settings)
    if body.default_model is not None:
        find_model(backend_of(request), body.default_model)
    await choose_default_model(database_of(request), user, body.default_model)
    return Response(status_code=204)


@router.get("/api/conversations", response_model=chat.Conversations)
async def show_conversations(request: Request, user: SignedIn) -> Response:
    """List the conversations, the latest first."""
    conversations = await list_conversations(database_of(request), user.id)
    return json_response({"conversations": [summary(conversation) for conversation in conversations]})


@router.post("/api/conversations", response_model=chat.ConversationSummary)
async def begin_conversation(request: Request, user: SignedIn) -> Response:
    """Begin an empty conversation."""
    body = await read_body(request, NewConversation)
    model = None if body.model is None else find_model(backend_of(request), body.model).id
    created = await create_conversation(database_of(request), user.id, model, body.settings.stored())
    return json_response(summary(created), 201)


@router.get("/api/conversations/{conversation_id}", response_model=chat.ConversationDetail)
async def show_conversation(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Show a conversation with its messages."""
    return json_response(await _detail(request, user, conversation_id))


@router.patch("/api/conversations/{conversation_id}", response_model=chat.ConversationSummary)
async def change_conversation(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Give a conversation another title, or another model for its next answers."""
    body = await read_body(request, Change)
    changed: StoredConversation | None = None
    if body.title is not None:
        changed = await rename_conversation(database_of(request), user.id, conversation_id, body.title)
    if body.model is not None:
        model = find_model(backend_of(request), body.model)
        changed = await choose_model(database_of(request), user.id, conversation_id, model.id)
    if changed is None:
        raise ApiError(400, "Nothing is to be changed. Give a title or a model.", code="empty")
    return json_response(summary(changed))


@router.delete("/api/conversations/{conversation_id}")
async def remove_conversation(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Delete a conversation, which can be had back for a while; an answer in the making ends."""
    generations = generations_of(request)
    await generations.look(user.id, conversation_id)  # whose is it?
    await generations.forget(conversation_id)
    await delete_conversation(database_of(request), user.id, conversation_id)
    return Response(status_code=204)


@router.post("/api/conversations/{conversation_id}/messages", response_model=chat.Turn)
async def send_message(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Keep a message and begin the answer; the same message sent twice is one."""
    body = await read_body(request, NewMessage)
    model, settings = await _next_answer(request, user, conversation_id)
    question = Question(body.content, body.client_id, body.instead_of)
    turn = await add_turn(database_of(request), user.id, conversation_id, question, settings)
    return _answering(request, user, conversation_id, turn, model)


@router.post("/api/conversations/{conversation_id}/answers", response_model=chat.Turn)
async def answer_again(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Begin another answer beside one; the same request twice is one answer."""
    body = await read_body(request, NewAnswer)
    model, settings = await _next_answer(request, user, conversation_id)
    turn = await add_answer(database_of(request), user.id, conversation_id, body.instead_of, body.client_id, settings)
    return _answering(request, user, conversation_id, turn, model)


@router.put("/api/conversations/{conversation_id}/shown", response_model=chat.ConversationDetail)
async def choose_branch(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Show a message instead of those beside it, with what was said after it; returns the conversation."""
    body = await read_body(request, Branch)
    await show_branch(database_of(request), user.id, conversation_id, body.message_id)
    return json_response(await _detail(request, user, conversation_id))


@router.get("/api/conversations/{conversation_id}/events")
async def follow_events(request: Request, user: SignedIn, conversation_id: str, after: str = "0") -> Response:
    """Stream a conversation's events after a number; `Last-Event-ID` says the number of a broken stream."""
    number = request.headers.get("last-event-id", after)
    if not (number.isascii() and number.isdecimal() and len(number) < 20):
        raise ApiError(400, f"after is {number[:20]!r}, but must be the number of an event.", code="after")
    generations = generations_of(request)
    conversation, messages = await generations.look(user.id, conversation_id)
    return EventStream(generations.follow(conversation, messages, int(number)))


@router.post("/api/messages/{message_id}/stop")
async def stop_message(request: Request, user: SignedIn, message_id: str) -> Response:
    """Stop an answer; what it says so far is kept."""
    conversation_id = await conversation_of_message(database_of(request), user.id, message_id)
    await generations_of(request).stop(conversation_id, message_id)
    return Response(status_code=204)


@router.post("/api/messages/{message_id}/continue", response_model=chat.Turn)
async def continue_message(request: Request, user: SignedIn, message_id: str) -> Response:
    """Go on with an answer that was cut short, with the model that began it."""
    conversation_id = await conversation_of_message(database_of(request), user.id, message_id)
    _, messages = await generations_of(request).look(user.id, conversation_id)
    answer = next((message for message in messages if message.id == message_id and message.model), None)
    if answer is None:
        raise ApiError(400, "Only an answer that is shown can be continued.", code="not_shown")
    model = find_model(backend_of(request), str(answer.model))
    turn = await reopen_answer(database_of(request), user.id, conversation_id, message_id)
    return _answering(request, user, conversation_id, turn, model)


async def _next_answer(request: Request, user: User, conversation_id: str) -> tuple[ModelInfo, AnswerSettings]:
    """Who gives the next answer of a conversation, and how it is asked for."""
    conversation, _ = await generations_of(request).look(user.id, conversation_id)
    model = model_for(request, user, conversation)
    return model, settings_for(model, conversation)


def _answering(request: Request, user: User, conversation_id: str, turn: Turn, model: ModelInfo) -> Response:
    """Begin the answer to a turn, unless it has begun, and show both."""
    if turn.is_new:
        generations_of(request).start(user.id, conversation_id, turn, model)
    shown = {"user_message": turn.user_message, "assistant_message": turn.assistant_message}
    return json_response({name: show_message(message) for name, message in shown.items()}, 202)


async def _detail(request: Request, user: User, conversation_id: str) -> dict[str, object]:
    conversation, messages = await generations_of(request).look(user.id, conversation_id)
    shown = {"last_event": conversation.last_event, "messages": [show_message(message) for message in messages]}
    return summary(conversation) | shown
