"""What the page asks about read-only links, and what whoever has one asks, without an account.

The link's secret stands behind the # of its address, which browsers never send: it comes in a header, and so in no log.
"""

from fastapi import APIRouter, Request, Response

from bise.app.replies import data
from bise.app.requests import database_of, json_response
from bise.app.session import SignedIn
from bise.server.errors import ApiError
from bise.store.shares import Share, create_share, list_shares, open_share, revoke_share

router = APIRouter()


@router.post("/api/conversations/{conversation_id}/shares", response_model=data.NewShare)
async def share(request: Request, user: SignedIn, conversation_id: str) -> Response:
    """Make a link to what is shown of a conversation now; its secret is told this once."""
    _check_allowed(request)
    made, token = await create_share(database_of(request), user, conversation_id)
    return json_response(_show(made) | {"token": token}, 201)


@router.get("/api/shares", response_model=data.Shares)
async def show_shares(request: Request, user: SignedIn) -> Response:
    """List the links, the newest first."""
    links = await list_shares(database_of(request), user.id)
    return json_response({"allowed": _is_allowed(request), "shares": [_show(each) for each in links]})


@router.delete("/api/shares/{share_id}")
async def revoke(request: Request, user: SignedIn, share_id: str) -> Response:
    """Take a link back."""
    await revoke_share(database_of(request), user, share_id)
    return Response(status_code=204)


@router.get("/shared", response_model=data.SharedConversation)
async def show_shared(request: Request) -> Response:
    """Show what a link leads to, to whoever has it."""
    _check_allowed(request)
    shared = await open_share(database_of(request), request.headers.get("x-bise-share", ""))
    told = {"title": shared.title, "created_at": shared.created_at.isoformat(), "messages": list(shared.messages)}
    response = json_response(told)
    response.headers["x-robots-tag"] = "noindex, nofollow"
    return response


def _is_allowed(request: Request) -> bool:
    return bool(request.app.state.admission.settings.share_links)


def _check_allowed(request: Request) -> None:
    if not _is_allowed(request):
        raise ApiError(403, "The operator of this server does not allow links to conversations.", code="share_links")


def _show(share: Share) -> dict[str, object]:
    return vars(share) | {"created_at": share.created_at.isoformat()}
