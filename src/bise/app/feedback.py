"""What the page asks about feedback: giving it, taking it back, looking through it, taking it along."""

import asyncio
import json
from collections import Counter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StringConstraints

from bise.app.replies import feedback
from bise.app.requests import Id, Text, database_of, json_response, read_body
from bise.app.session import SignedIn
from bise.corpus.personal import CONTACTS, PersonalData
from bise.server.answering import backend_of
from bise.store.feedback import (
    MAX_COMMENT_CHARS,
    FeedbackItem,
    Reason,
    exclude_feedback,
    improve_answer,
    improved_messages,
    list_feedback,
    prefer_answer,
    rate_answer,
    why_useless,
)
from bise.store.tables import now
from bise.store.turns import Rating

router = APIRouter()


class NewRating(BaseModel):
    """A thumb, with the reason and words of one's own."""

    thumb: Literal["up", "down"]
    reason: Reason | None = None
    comment: Annotated[Text, StringConstraints(max_length=MAX_COMMENT_CHARS)] | None = None


class BetterAnswer(BaseModel):
    """What the answer should have been."""

    content: Text


class NewPreference(BaseModel):
    """Which of two answers is better, this or the other; None takes it back."""

    other_id: Id
    verdict: Literal["this", "other", "equal"] | None


class Exclusion(BaseModel):
    """Whether nothing is to be learned from an item."""

    excluded: bool


@router.put("/api/messages/{message_id}/rating")
async def rate(request: Request, user: SignedIn, message_id: str) -> Response:
    """Give an answer a thumb."""
    body = await read_body(request, NewRating)
    await rate_answer(database_of(request), user.id, message_id, Rating(body.thumb, body.reason, body.comment))
    return Response(status_code=204)


@router.delete("/api/messages/{message_id}/rating")
async def take_rating_back(request: Request, user: SignedIn, message_id: str) -> Response:
    """Take a thumb back."""
    await rate_answer(database_of(request), user.id, message_id, None)
    return Response(status_code=204)


@router.put("/api/messages/{message_id}/better")
async def improve(request: Request, user: SignedIn, message_id: str) -> Response:
    """Keep a better text beside an answer's own."""
    body = await read_body(request, BetterAnswer)
    await improve_answer(database_of(request), user.id, message_id, body.content)
    return Response(status_code=204)


@router.delete("/api/messages/{message_id}/better")
async def forget_better(request: Request, user: SignedIn, message_id: str) -> Response:
    """Go back to the answer's own text."""
    await improve_answer(database_of(request), user.id, message_id, None)
    return Response(status_code=204)


@router.put("/api/messages/{message_id}/preference")
async def prefer(request: Request, user: SignedIn, message_id: str) -> Response:
    """Say which of two answers to one question is better."""
    body = await read_body(request, NewPreference)
    await prefer_answer(database_of(request), user.id, message_id, body.other_id, body.verdict)
    return Response(status_code=204)


@router.get("/api/feedback", response_model=feedback.Feedback)
async def show_feedback(request: Request, user: SignedIn) -> Response:
    """List all feedback, the newest first, as it would be learned from: with personal data masked."""
    items = await list_feedback(database_of(request), user.id)
    base = backend_of(request).models()[0].id
    improved = improved_messages(items)
    shown = await asyncio.to_thread(lambda: [_masked(item) for item in reversed(items)])
    for record, item in zip(shown, reversed(items), strict=True):
        record["teaches_nothing"] = why_useless(item, base, improved)
    return json_response({"items": shown})


@router.patch("/api/feedback/{item_id}")
async def exclude(request: Request, user: SignedIn, item_id: str) -> Response:
    """Say whether nothing is to be learned from an item."""
    body = await read_body(request, Exclusion)
    await exclude_feedback(database_of(request), user.id, item_id, body.excluded)
    return Response(status_code=204)


@router.get("/api/feedback.jsonl")
async def export_feedback(request: Request, user: SignedIn) -> Response:
    """Give all feedback as it was given, one JSON object a line, as a file."""
    items = await list_feedback(database_of(request), user.id)
    lines = [json.dumps(item.as_record(), ensure_ascii=False) + "\n" for item in items]
    name = f"bise-feedback-{now():%Y-%m-%d}.jsonl"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return Response("".join(lines), media_type="application/jsonl", headers=headers)


def _masked(item: FeedbackItem) -> dict[str, Any]:
    """Write an item for the page, how many pieces of personal data were masked, and which of them may be public."""
    counts: Counter[str] = Counter()
    contacts: dict[str, None] = {}

    def mask(value: Any) -> Any:
        if isinstance(value, str):
            contacts.update((value[span.start : span.stop], None) for span in PersonalData(CONTACTS).find(value))
            text, found = PersonalData().mask(value)
            counts.update(found)
            return text
        return [turn | {"content": mask(turn["content"])} for turn in value]

    record = item.as_record()
    texts = ("conversation", "answer", "better", "first", "second", "chosen", "rejected")
    masked = {name: mask(record[name]) for name in texts if name in record}
    learned = list(contacts)
    masked |= {"comment": mask(record["comment"])} if "comment" in record else {}  # which nothing is learned from
    return record | masked | {"num_masked": counts.total(), "contacts": learned}
