"""How a browser becomes its owner's: an address that works once, then a cookie.

On loopback, whoever can read the terminal that `bise` runs in is the owner: the token in the printed address is spent at
its first use. A server that others reach knows accounts instead, and lets in by password (`door.py`) and by addresses of
`bise admin users link`; these ask for a click, because programs that show a preview of an address open it, too. The
cookie cannot be read by scripts, is not sent along from other sites, and gets a new value at each sign-in and each day.
"""

import hmac
import secrets
from ipaddress import ip_address
from typing import Annotated, cast
from urllib.parse import parse_qs

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from bise.app.attempts import Attempts
from bise.app.oidc import SingleSignOn
from bise.app.passwords import Passwords
from bise.server.errors import ApiError
from bise.server.settings import SignUp
from bise.store.accounts import SESSION_DAYS, User, spend_link, start_session, user_of_session
from bise.store.sessions import end_own_session, renew_session

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

    def __init__(
        self,
        user: User | None,
        port: int,
        *,
        url: str = "",
        sign_up: SignUp = "off",
        sign_on: SingleSignOn | None = None,
    ) -> None:
        self.user = user
        self.url = url.rstrip("/")  # as people type it, when a proxy stands before us; it says where requests come from
        self.is_secure = url.startswith("https://")  # browsers come over TLS
        self.sign_up = sign_up
        self.sign_on = sign_on or SingleSignOn()
        self.setup_code = ""  # opens the first-run page, while there is no admin
        self.passwords = Passwords()
        self.attempts = Attempts()
        # Browsers share cookies between the ports of a host; "__Host-" is their promise that nobody else set it.
        self.cookie_name = "__Host-bise_session" if self.is_secure else f"bise_session_{port}"
        self.token = secrets.token_urlsafe(32) if user is not None else ""
        self._spent = user is None

    def new_setup_code(self) -> str:
        """Make the code that whoever sees the server's terminal makes the first admin with: 100 bits, easy to type."""
        letters = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that look alike
        groups = ("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))
        self.setup_code = "-".join(groups)
        return self.setup_code

    def admit(self, token: str) -> User | None:
        """Spend the token, when it is the right one and was not spent before."""
        right = hmac.compare_digest(token.encode("utf-8", "replace"), self.token.encode())
        if self._spent or not right:
            return None
        self._spent = True
        return self.user


async def enter(request: Request, token: str) -> Response:
    """Change the one-time token for a cookie and show the chat; a browser that is in already just goes there."""
    entrance = entrance_of(request)
    user = entrance.admit(token)
    if user is not None:
        return await let_in(request, user, RedirectResponse("/", 303))
    if await session_user(request) is not None:
        return RedirectResponse("/", 303)
    if entrance.user is not None:
        return HTMLResponse(_SPENT, 403)
    return HTMLResponse(_ASK % token) if token and _TOKEN_CHARS.issuperset(token) else HTMLResponse(_UNKNOWN, 403)


async def enter_by_link(request: Request) -> Response:
    """Change the token of somebody's link for a cookie, after the click."""
    form = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=4)
    user = await spend_link(request.app.state.database, form.get("token", [""])[0])
    if user is None:
        return HTMLResponse(_UNKNOWN, 403)
    return await let_in(request, user, RedirectResponse("/", 303))


async def require_session(request: Request) -> User:
    """Find whose browser this is.

    Raises:
        ApiError: 401, when it sends no valid cookie.
    """
    user = await session_user(request)
    if user is None:
        message = "This browser is not signed in. Open the address that bise printed in the terminal when it started."
        if entrance_of(request).user is None:
            message = "This browser is not signed in. Sign in, or ask the operator of this server for help."
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


async def let_in(request: Request, user: User, response: Response) -> Response:
    """Start a session for a browser, in place of the one that it has, and put its cookie on the response."""
    database = request.app.state.database
    if token := token_of(request):
        await end_own_session(database, token)
    fresh = await start_session(database, user, request.headers.get("user-agent", ""))
    _set_cookie(request, response, fresh)
    return response


async def keep_in(request: Request, response: Response) -> Response:
    """Note that a browser was seen; with age its cookie gets another value."""
    fresh = await renew_session(request.app.state.database, token_of(request))
    if fresh is not None:
        _set_cookie(request, response, fresh)
    return response


def entrance_of(request: Request) -> Entrance:
    """Who comes in how, on this server."""
    return cast(Entrance, request.app.state.entrance)


def token_of(request: Request) -> str:
    """The secret of the browser's session as it comes; empty without one."""
    return request.cookies.get(entrance_of(request).cookie_name, "")


def address_of(request: Request) -> str:
    """Where a request comes from; of a proxy nearby, what it says about that itself: the last address it names."""
    peer = request.client.host if request.client is not None else ""
    named = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    if entrance_of(request).url and _is_near(peer) and _is_address(named):
        return named
    return peer


def _is_near(peer: str) -> bool:
    return _is_address(peer) and ip_address(peer).is_private


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _set_cookie(request: Request, response: Response, token: str) -> None:
    entrance = entrance_of(request)
    response.set_cookie(
        entrance.cookie_name,
        token,
        max_age=SESSION_DAYS * 86400,
        httponly=True,
        secure=entrance.is_secure,
        samesite="strict",
    )


async def session_user(request: Request) -> User | None:
    """Whose browser this is; None: nobody's who is in."""
    token = token_of(request)
    return await user_of_session(request.app.state.database, token) if token else None


SignedIn = Annotated[User, Depends(require_session)]
Admin = Annotated[User, Depends(require_admin)]
