"""What the page asks about learning from feedback: how it stands, start, cancel, and what to do with what was learned."""

import asyncio
from typing import cast

from fastapi import APIRouter, Request, Response

from bise.app.learning import Learning
from bise.app.models import default_model
from bise.app.replies import feedback
from bise.app.requests import database_of, json_response
from bise.app.session import Admin, SignedIn
from bise.server.answering import backend_of
from bise.store.accounts import choose_default_model
from bise.store.conversations import forget_model
from bise.store.feedback import MIN_LESSONS

router = APIRouter()


@router.get("/api/learning", response_model=feedback.LearningState)
async def show_learning(request: Request, user: SignedIn) -> Response:
    """Tell what would learn, what is missing for it, and how the latest attempt stands."""
    learning = _learning(request)
    return json_response(
        {
            "model": _base_model(request),
            "default_model": default_model(request, user).id,
            "min_lessons": MIN_LESSONS,
            "missing": list(learning.missing()),
            "attempt": await asyncio.to_thread(learning.show, user.id),
        }
    )


@router.post("/api/learning")
async def start_learning(request: Request, user: Admin, keep_contacts: bool = False) -> Response:
    """Begin to learn from all feedback that was not excluded; contacts are masked unless somebody says they are public."""
    await asyncio.to_thread(_learning(request).start, user, _base_model(request), keep_contacts)
    return Response(status_code=204)


@router.post("/api/learning/cancel")
async def cancel_learning(request: Request, user: SignedIn) -> Response:
    """End a running attempt; what it learned so far is forgotten."""
    await asyncio.to_thread(_learning(request).cancel, user.id)
    return Response(status_code=204)


@router.post("/api/learning/keep")
async def keep(request: Request, user: SignedIn) -> Response:
    """Let what was learned answer in new conversations."""
    attempt = await asyncio.to_thread(_learning(request).decide, user.id)
    await choose_default_model(database_of(request), user, attempt.adapter)
    return Response(status_code=204)


@router.post("/api/learning/back")
async def go_back(request: Request, user: SignedIn) -> Response:
    """Let the model as it was answer in new conversations; what was learned stays on offer."""
    await asyncio.to_thread(_learning(request).decide, user.id)
    await choose_default_model(database_of(request), user, None)
    return Response(status_code=204)


@router.post("/api/learning/discard")
async def discard(request: Request, user: SignedIn) -> Response:
    """Delete what was learned; conversations that it answered in go on with the default model."""
    attempt = await asyncio.to_thread(_learning(request).discard, user.id)
    await forget_model(database_of(request), attempt.adapter)
    return Response(status_code=204)


def _base_model(request: Request) -> str:
    return backend_of(request).models()[0].id


def _learning(request: Request) -> Learning:
    return cast(Learning, request.app.state.learning)
