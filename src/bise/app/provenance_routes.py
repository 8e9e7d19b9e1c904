"""What the page asks about where answers and models come from."""

import asyncio
from typing import cast

from fastapi import APIRouter, Request, Response

from bise.app.provenance import Provenance, show_lineage
from bise.app.replies import provenance
from bise.app.requests import database_of, generations_of, json_response
from bise.app.session import SignedIn
from bise.errors import NotFoundError
from bise.server.answering import backend_of, find_model
from bise.server.backend import ModelInfo
from bise.store.turns import conversation_of_message

router = APIRouter()
_ELSEWHERE = {"known": "elsewhere", "corpora": []}


@router.get("/api/messages/{message_id}/trace", response_model=provenance.FoundHere | provenance.NotLookedUp)
async def trace_message(request: Request, user: SignedIn, message_id: str) -> Response:
    """Find the parts of an answer that stand word for word in what its model was trained on."""
    generations = generations_of(request)
    conversation_id = await conversation_of_message(database_of(request), user.id, message_id)
    _, messages = await generations.look(user.id, conversation_id)
    answer = next((message for message in messages if message.id == message_id and message.model), None)
    if answer is None:
        raise NotFoundError("There is no such answer among those that are shown.")
    if _is_elsewhere(request, str(answer.model)):
        return json_response(_ELSEWHERE)
    provenance = _provenance(request)
    return json_response(await asyncio.to_thread(provenance.trace, str(answer.model), answer.content))


@router.get("/api/lineage", response_model=provenance.Lineage)
async def show_model_lineage(request: Request, user: SignedIn, model: str) -> Response:
    """Tell everything that a model was made from, as far as it is recorded here."""
    del user
    offered = find_model(backend_of(request), model).id
    lineage = None if _is_elsewhere(request, model) else await asyncio.to_thread(_provenance(request).lineage, offered)
    return json_response(show_lineage(lineage))


def _is_elsewhere(request: Request, model: str) -> bool:
    """Whether another server answers with it."""
    offered = (each for each in backend_of(request).models() if each.id == model)
    return any(each.owned_by != ModelInfo.owned_by for each in offered)


def _provenance(request: Request) -> Provenance:
    return cast(Provenance, request.app.state.provenance)
