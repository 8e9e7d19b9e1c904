"""How a browser becomes its owner's: an address that works once, then a cookie.

On loopback, whoever can read the terminal that `bise` runs in is the owner: the token in the printed address is spent at
its first use. A server that others reach knows accounts instead, and lets in by addresses of `bise admin users link`;
these ask for a click, because programs that show a preview of an address open it, too. The cookie cannot be read by
scripts and is not sent along from other sites.
"""

import hmac
import secrets
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bise.server.errors import ApiError
from bise.store.accounts import SESSION_DAYS, User, spend_link, start_session, user_of_session

_HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Bise</title>'
_SPENT = f"""{_HEAD}
<h1>This address has been used</h1>
<p>It lets one browser in, once. Start <code>bise</code> again in the terminal and open the address it prints.</p></html>
"""
_UNKNOWN = f"""{_HEAD}
<h1>This address lets nobody in</h1>
<p>It works once, within a day. Ask the operator of this server for another one.</p></html>
"""
_ASK = f"""{_HEAD}
<h1>Bise</h1>
<form method="post" action="/enter"><input type="hidden" name="token" value="%s"><button>Let this browser in</button></form>
</html>
"""
_TOKEN_CHARS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


class Entrance:
    """Who comes in how: the local owner by one token, good for one use, or people with accounts by links of their own.

    `user` is the local owner, or None where there are accounts.
    """

    def __init__(self, user: User | None, port: int, *, is_secure: bool = False) -> None:
        self.user = user
        self.is_secure = is_secure  # whether browsers come over TLS
        # Browsers share cookies between the ports of a host; "__Host-" is their promise that nobody else set it.
        self.cookie_name = "__Host-bise_session" if is_secure else f"bise_session_{port}"
        self.token = secrets.token_urlsafe(32) if user is not None else ""
        self._spent = user is None

    def admit(self, token: str) -> User | None:
        """Spend the token, when it is the right one and was not spent before."""
        right = hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())
        if self._spent or not right:
            return None
        self._spent = True
        return self.user


async def enter(request: Request, token: str) -> Response:
    """Change the one-time token for a cookie and show the chat; a browser that is in already just goes there."""
    entrance: Entrance = request.app.state.entrance
    user = entrance.admit(token)
    if user is not None:
        return await _let_in(request, user)
    if await _session_user(request) is not None:
        return RedirectResponse("/", 303)
    if entrance.user is not None:
        return HTMLResponse(_SPENT, 403)
    return HTMLResponse(_ASK % token) if token and _TOKEN_CHARS.issuperset(token) else HTMLResponse(_UNKNOWN, 403)


async def enter_by_link(request: Request) -> Response:
    """Change the token of somebody's link for a cookie, after the click."""
    form = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=4)
    user = await spend_link(request.app.state.database, form.get("token", [""])[0])
    return HTMLResponse(_UNKNOWN, 403) if user is None else await _let_in(request, user)


async def require_session(request: Request) -> User:
    """Find whose browser this is.

    Raises:
        ApiError: 401, when it sends no valid cookie.
    """
    user = await _session_user(request)
    if user is None:
        message = "This browser is not signed in. Open the address that bise printed in the terminal when it started."
        if request.app.state.entrance.user is None:
            message = "This browser is not signed in. Ask the operator of this server for an address that lets it in."
        raise ApiError(401, message, code="not_signed_in")
    return user


async def require_admin(request: Request) -> User:
    """Find whose browser this is, and let operators go on.

    Raises:
        ApiError: 401 without a valid cookie, 403 when they are no admin.
    """
    user = await require_session(request)
    if user.role != "admin":
        raise ApiError(403, "This is for admins. Ask the operator of this server to do it.", code="role")
    return user


async def _let_in(request: Request, user: User) -> Response:
    entrance: Entrance = request.app.state.entrance
    response = RedirectResponse("/", 303)
    response.set_cookie(
        entrance.cookie_name,
        await start_session(request.app.state.database, user),
        max_age=SESSION_DAYS * 86400,
        httponly=True,
        secure=entrance.is_secure,
        samesite="strict",
    )
    return response


async def _session_user(request: Request) -> User | None:
    token = request.cookies.get(request.app.state.entrance.cookie_name)
    return None if token is None else await user_of_session(request.app.state.database, token)


SignedIn = Annotated[User, Depends(require_session)]
Admin = Annotated[User, Depends(require_admin)]
