"""The door of a server that has accounts: what may be shown before anybody is in, signing in and out, new accounts."""

import hmac
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StringConstraints

from bise.app.replies import people
from bise.app.requests import database_of, json_response, read_body
from bise.app.session import Entrance, SignedIn, address_of, entrance_of, let_in, token_of
from bise.server.errors import ApiError
from bise.store.accounts import User
from bise.store.passwords import MAX_CHARS, check_password, password_of, rehash
from bise.store.sessions import end_own_session
from bise.store.signing_up import create_first_admin, sign_up

router = APIRouter()
Name = Annotated[str, StringConstraints(max_length=200)]
Password = Annotated[str, StringConstraints(max_length=MAX_CHARS)]


class Credentials(BaseModel):
    """A name and a password."""

    name: Name
    password: Password


class FirstAdmin(Credentials):
    """The first account; `code` is what the server printed where it was started."""

    code: Name


class NewAccount(Credentials):
    """Somebody's new account; `invitation` is the secret of an invitation's address."""

    invitation: Name = ""


@router.get("/api/door", response_model=people.DoorState)
async def show_door(request: Request) -> Response:
    """Tell what the page must ask of somebody who is not in; nothing about who has an account."""
    entrance = entrance_of(request)
    return json_response(
        {
            "accounts": entrance.user is None,
            "first_run": bool(entrance.setup_code),
            "sign_up": entrance.sign_up,
            "providers": entrance.sign_on.list(),
        }
    )


@router.post("/api/sign-in")
async def sign_in(request: Request) -> Response:
    """Let a browser in by name and password; a browser that was in as somebody else is out before."""
    entrance = accounts_only(request)
    body = await read_body(request, Credentials)
    user = await _whose_password(request, entrance, body)
    return await let_in(request, user, Response(status_code=204))


@router.post("/api/first-run")
async def make_first_admin(request: Request) -> Response:
    """Make the first account, an admin's, of whoever has the code from the server's terminal; the code then is spent."""
    entrance = accounts_only(request)
    body = await read_body(request, FirstAdmin)
    entrance.attempts.begin("first run", address_of(request))
    given = body.code.strip().upper().encode()
    if not entrance.setup_code or not hmac.compare_digest(given, entrance.setup_code.encode()):
        message = "This is not the code. It stands in the terminal where Bise was started, and works once."
        raise ApiError(403, message, code="wrong_code")
    check_password(body.name, body.password)
    hashed = await entrance.passwords.hash(body.password)
    user = await create_first_admin(database_of(request), body.name, hashed)
    entrance.setup_code = ""
    return await let_in(request, user, Response(status_code=204))


@router.post("/api/sign-up")
async def make_account(request: Request) -> Response:
    """Make somebody's account and let their browser in, as far as this server's settings allow it."""
    entrance = accounts_only(request)
    body = await read_body(request, NewAccount)
    if entrance.sign_up == "off" or (entrance.sign_up == "invited" and not body.invitation):
        how = "without an invitation" if entrance.sign_up == "invited" else "here"
        message = f"Nobody can make an account {how}. Ask the operator of this server for one."
        raise ApiError(403, message, code="sign_up")
    check_password(body.name, body.password)
    entrance.attempts.begin("sign-up", address_of(request))
    hashed = await entrance.passwords.hash(body.password)
    user = await sign_up(database_of(request), body.name, hashed, body.invitation)
    # An office comes from one address. Who made one account may not guess names and invitations anew for it.
    entrance.attempts.take_back("sign-up", address_of(request))
    return await let_in(request, user, Response(status_code=204))


@router.post("/api/sign-out")
async def sign_out(request: Request, user: SignedIn) -> Response:
    """End this browser's session."""
    del user
    await end_own_session(database_of(request), token_of(request))
    response = Response(status_code=204)
    entrance = entrance_of(request)
    response.delete_cookie(entrance.cookie_name, secure=entrance.is_secure, httponly=True, samesite="strict")
    return response


def accounts_only(request: Request) -> Entrance:
    """The entrance, where there are accounts.

    Raises:
        ApiError: 404, where this machine's owner is the one user.
    """
    entrance = entrance_of(request)
    if entrance.user is not None:
        message = "This server listens on this machine alone, where there are no accounts. See: bise serve --help"
        raise ApiError(404, message, code="no_accounts")
    return entrance


async def _whose_password(request: Request, entrance: Entrance, given: Credentials) -> User:
    """The user whose name and password these are.

    Raises:
        ApiError: 401, the same whether the name, the password or both are wrong; 429, after too many tries.
    """
    name, address = given.name.strip(), address_of(request)
    entrance.attempts.begin(name, address)
    found = await password_of(database_of(request), name)
    if not await entrance.passwords.check(given.password, found[1] if found else None) or found is None:
        message = "The name or the password is wrong. Try again, or ask the operator of this server for help."
        raise ApiError(401, message, code="wrong_password")
    entrance.attempts.succeed(name, address)
    user, hashed = found
    if entrance.passwords.is_outdated(hashed):
        await rehash(database_of(request), user, hashed, await entrance.passwords.hash(given.password))
    return user
