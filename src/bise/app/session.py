"""How a browser becomes its owner's: an address that works once, then a cookie.

Whoever can read the terminal that `bise` runs in is the owner. The token in the printed address is spent at its first
use; the cookie it is changed for cannot be read by scripts and is not sent along from other sites.
"""

import hmac
import secrets
from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bise.server.errors import ApiError
from bise.store.accounts import SESSION_DAYS, User, start_session, user_of_session

_SPENT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Bise</title>
<h1>This address has been used</h1>
<p>It lets one browser in, once. Start <code>bise</code> again in the terminal and open the address it prints.</p></html>
"""


class Entrance:
    """One token, good for one use."""

    def __init__(self, user: User, port: int) -> None:
        self.user = user
        self.cookie_name = f"bise_session_{port}"  # browsers share cookies between the ports of a host
        self.token = secrets.token_urlsafe(32)
        self._spent = False

    def admit(self, token: str) -> bool:
        """Spend the token, when it is the right one and was not spent before."""
        right = hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())
        if self._spent or not right:
            return False
        self._spent = True
        return True


async def enter(request: Request, token: str) -> Response:
    """Change the one-time token for a cookie and show the chat; a browser that is in already just goes there."""
    entrance: Entrance = request.app.state.entrance
    if entrance.admit(token):
        response = RedirectResponse("/", 303)
        response.set_cookie(
            entrance.cookie_name,
            await start_session(request.app.state.database, entrance.user),
            max_age=SESSION_DAYS * 86400,
            httponly=True,
            samesite="strict",
        )
        return response
    if await _session_user(request) is not None:
        return RedirectResponse("/", 303)
    return HTMLResponse(_SPENT, 403)


async def require_session(request: Request) -> User:
    """Find whose browser this is.

    Raises:
        ApiError: 401, when it sends no valid cookie.
    """
    user = await _session_user(request)
    if user is None:
        message = "This browser is not signed in. Open the address that bise printed in the terminal when it started."
        raise ApiError(401, message, code="not_signed_in")
    return user


async def _session_user(request: Request) -> User | None:
    token = request.cookies.get(request.app.state.entrance.cookie_name)
    return None if token is None else await user_of_session(request.app.state.database, token)


SignedIn = Annotated[User, Depends(require_session)]
