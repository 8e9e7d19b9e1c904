"""What the page asks to find something again."""

from dataclasses import asdict

from fastapi import APIRouter, Request, Response

from bise.app.requests import database_of, json_response
from bise.app.session import SignedIn
from bise.server.errors import ApiError
from bise.store.search import Hit, search_conversations

MAX_QUERY_CHARS = 200
router = APIRouter()


@router.get("/api/search")
async def search(request: Request, user: SignedIn, q: str = "") -> Response:
    """Find conversations by their titles and by what was said in them."""
    if len(q) > MAX_QUERY_CHARS:
        raise ApiError(
            400, f"The search has {len(q)} characters, but may have {MAX_QUERY_CHARS}. Take fewer words.", code="q"
        )
    return json_response({"hits": [_show(hit) for hit in await search_conversations(database_of(request), user.id, q)]})


def _show(hit: Hit) -> dict[str, object]:
    return asdict(hit) | {"at": hit.at.isoformat()}
