"""What the page asks to find something again, and the server's own indexing of what nobody has looked for yet."""

import asyncio
import logging
from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from bise.app.replies import chat
from bise.app.requests import database_of, json_response
from bise.app.session import SignedIn
from bise.errors import UnavailableError
from bise.server.errors import ApiError
from bise.store.database import Database
from bise.store.search import Hit, index_waiting, search_conversations

log = logging.getLogger(__name__)
MAX_QUERY_CHARS = 200
INDEX_EVERY_S = 60.0
router = APIRouter()


@router.get("/api/search", response_model=chat.Hits)
async def search(request: Request, user: SignedIn, q: str = "") -> Response:
    """Find conversations by their titles and by what was said in them."""
    if len(q) > MAX_QUERY_CHARS:
        raise ApiError(
            400,
            f"The search has {len(q)} characters, but may have {MAX_QUERY_CHARS}. Take fewer words.",
            code="search_too_long",
            values={"chars": len(q), "max": MAX_QUERY_CHARS},
        )
    return json_response({"hits": [_show(hit) for hit in await search_conversations(database_of(request), user.id, q)]})


def _show(hit: Hit) -> dict[str, object]:
    return asdict(hit) | {"at": hit.at.isoformat()}


async def index_regularly(database: Database) -> None:
    """Index what is new, now and every minute, so that no search waits for a whole history; ends when it is cancelled."""
    while True:
        try:
            await index_waiting(database)
        except UnavailableError as error:
            log.error("What is new could not be made ready for the search yet: %s", error)
        await asyncio.sleep(INDEX_EVERY_S)
