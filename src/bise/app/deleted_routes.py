"""What the page asks about deleted conversations, and the server's own purge of those whose time has come."""

import asyncio
import logging

from fastapi import APIRouter, Request, Response

from bise.app.replies import chat, data
from bise.app.requests import database_of, json_response, summary
from bise.app.session import SignedIn
from bise.errors import UnavailableError
from bise.store.database import Database
from bise.store.deleted import (
    KEPT_DAYS,
    erase_conversation,
    erase_deleted,
    list_deleted,
    purge_deleted,
    restore_conversation,
)
from bise.store.tables import now

log = logging.getLogger(__name__)
router = APIRouter()
PURGE_EVERY_S = 3600.0


@router.get("/api/deleted", response_model=data.DeletedState)
async def show_deleted(request: Request, user: SignedIn) -> Response:
    """List the deleted conversations that can still be had back, the one deleted last first."""
    deleted = await list_deleted(database_of(request), user.id)
    shown = [
        {
            "id": each.id,
            "title": each.title,
            "deleted_at": each.deleted_at.isoformat(),
            "gone_at": each.gone_at.isoformat(),
            "num_messages": each.num_messages,
        }
        for each in deleted
    ]
    return json_response({"kept_days": KEPT_DAYS, "conversations": shown})


@router.delete("/api/deleted", response_model=data.NumErased)
async def empty_deleted(request: Request, user: SignedIn) -> Response:
    """Erase all deleted conversations now."""
    return json_response({"num_erased": await erase_deleted(database_of(request), user.id)})


@router.post("/api/deleted/{deleted_id}/restore", response_model=chat.ConversationSummary)
async def restore(request: Request, user: SignedIn, deleted_id: str) -> Response:
    """Have a deleted conversation back."""
    return json_response(summary(await restore_conversation(database_of(request), user.id, deleted_id)))


@router.delete("/api/deleted/{deleted_id}")
async def erase(request: Request, user: SignedIn, deleted_id: str) -> Response:
    """Erase a deleted conversation now."""
    await erase_conversation(database_of(request), user.id, deleted_id)
    return Response(status_code=204)


async def purge_regularly(database: Database) -> None:
    """Erase deleted conversations whose time has come, now and every hour; ends when it is cancelled."""
    while True:
        try:
            await purge_deleted(database, now())
        except UnavailableError as error:
            log.error("Deleted conversations could not be erased yet: %s", error)
        await asyncio.sleep(PURGE_EVERY_S)
