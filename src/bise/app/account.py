"""What somebody does with their own account: change the password, and see and end where they are signed in."""

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from bise.app.door import Password, accounts_only
from bise.app.replies import people
from bise.app.requests import database_of, json_response, read_body
from bise.app.session import SignedIn, address_of, entrance_of, let_in, token_of
from bise.server.errors import ApiError
from bise.store.identities import list_identities
from bise.store.passwords import check_password, has_password, password_of, set_password
from bise.store.sessions import Session, end_session, list_sessions

router = APIRouter()


class NewPassword(BaseModel):
    """Another password; `current` is the one until now, if there is one."""

    current: Password = ""
    new: Password


@router.get("/api/account", response_model=people.Account)
async def show_account(request: Request, user: SignedIn) -> Response:
    """Tell who somebody is and where they are signed in."""
    database = database_of(request)
    sessions = await list_sessions(database, user.id, token_of(request))
    issuers = {identity.issuer for identity in await list_identities(database, user.id)}
    providers = entrance_of(request).sign_on.providers.values()
    return json_response(
        {
            "name": user.name,
            "role": user.role,
            "has_password": await has_password(database, user.id),
            "sessions": [_show(session) for session in sessions],
            "providers": [
                {"id": each.id, "name": each.name, "is_linked": each.issuer in issuers}
                for each in (provider.settings for provider in providers)
            ],
        }
    )


@router.put("/api/account/password")
async def change_password(request: Request, user: SignedIn) -> Response:
    """Set a password or change it; all other browsers are signed out, and this one gets a new session."""
    entrance = accounts_only(request)
    body = await read_body(request, NewPassword)
    found = await password_of(database_of(request), user.name)
    if found is not None:
        entrance.attempts.begin(user.name, address_of(request))
        if not await entrance.passwords.check(body.current, found[1]):
            message = "The password until now is wrong, so nothing was changed. Try again."
            raise ApiError(403, message, code="wrong_current_password")
        entrance.attempts.succeed(user.name, address_of(request))
    check_password(user.name, body.new)
    await set_password(database_of(request), user.name, await entrance.passwords.hash(body.new), actor=user.name)
    return await let_in(request, user, Response(status_code=204))


@router.delete("/api/account/sessions/{session_id}")
async def sign_browser_out(request: Request, user: SignedIn, session_id: str) -> Response:
    """End one of one's own sessions."""
    await end_session(database_of(request), user.id, session_id)
    return Response(status_code=204)


def _show(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "agent": session.agent,
        "created_at": session.created_at.isoformat(),
        "seen_at": session.seen_at.isoformat() if session.seen_at else None,
        "is_current": session.is_current,
    }
