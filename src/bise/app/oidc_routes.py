"""The way to a provider and back. Both are addresses that a browser goes to, so what fails leads back to the page."""

import logging
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from bise.app.door import accounts_only
from bise.app.oidc import PENDING_S, OidcError, Pending, Person, Provider
from bise.app.requests import database_of
from bise.app.session import Entrance, SignedIn, let_in, session_user
from bise.errors import InputError
from bise.store.accounts import User, find_user_by_id
from bise.store.identities import link_identity, sign_up_by_identity, unlink_identities, user_of_identity

router = APIRouter()
log = logging.getLogger(__name__)


@router.get("/oidc/{provider}/start")
async def go_to_provider(request: Request, provider: str, invitation: str = "", link: bool = False) -> Response:
    """Send a browser to a provider; with `link` that of somebody who is signed in and wants to come in there, too."""
    entrance = accounts_only(request)
    there = entrance.sign_on.provider(provider)
    user = await session_user(request) if link else None
    if link and user is None:
        return _back("not_signed_in")
    uri = f"{entrance.url or _own_address(request)}/oidc/{provider}/callback"
    pending = entrance.sign_on.begin(provider, uri, user.id if user else "", invitation[:200])
    try:
        response = RedirectResponse(await there.address(pending), 303)
    except OidcError as error:
        log.warning("sign-in by %s: %s", provider, error)
        return _back(error.reason)
    # Lax, for the way back begins on the provider's page.
    response.set_cookie(
        _cookie(entrance), pending.browser, PENDING_S, secure=entrance.is_secure, httponly=True, samesite="lax"
    )
    return response


@router.get("/oidc/{provider}/callback")
async def come_back(
    request: Request, provider: str, state: str = "", code: str = "", iss: str = "", error: str = ""
) -> Response:
    """Let in whom a provider sends back."""
    entrance = accounts_only(request)
    there = entrance.sign_on.provider(provider)
    try:
        if error and not state:  # some say no without the state that they were given; it opens nothing
            raise OidcError("refused", f"{provider} says {error[:100]!r}")
        pending = entrance.sign_on.end(provider, state, request.cookies.get(_cookie(entrance), ""))
        response = await _arrive(request, entrance, there, pending, code, iss)
    except OidcError as refusal:
        log.warning("sign-in by %s: %s", provider, refusal)
        response = _back(refusal.reason, "#account" if refusal.reason == "taken" else "")
    response.delete_cookie(_cookie(entrance), secure=entrance.is_secure, httponly=True, samesite="lax")
    return response


@router.delete("/api/account/identities/{provider}")
async def stop_coming_by_provider(request: Request, user: SignedIn, provider: str) -> Response:
    """Let one's account at a provider open nothing here any more."""
    there = accounts_only(request).sign_on.provider(provider)
    await unlink_identities(database_of(request), user, there.settings.issuer)
    return Response(status_code=204)


async def _arrive(
    request: Request, entrance: Entrance, there: Provider, pending: Pending, code: str, iss: str
) -> Response:
    if not code or (iss and iss != there.settings.issuer):
        raise OidcError("refused")
    person = await there.person(pending, code)
    if pending.user_id:
        return await _link(request, pending, person)
    user = await user_of_identity(database_of(request), person.identity)
    if user is None:
        user = await _newcomer(request, entrance, there, pending, person)
    if user.disabled_at is not None:
        raise OidcError("unknown", f"user {user.name} is disabled")
    return await let_in(request, user, RedirectResponse("/", 303))


async def _link(request: Request, pending: Pending, person: Person) -> Response:
    user = await find_user_by_id(database_of(request), pending.user_id)
    if user is None or user.disabled_at is not None:
        raise OidcError("not_signed_in")
    try:
        await link_identity(database_of(request), user, person.identity)
    except InputError as error:
        raise OidcError("taken", str(error)) from error
    return RedirectResponse("/#account", 303)


async def _newcomer(request: Request, entrance: Entrance, there: Provider, pending: Pending, person: Person) -> User:
    """Make an account where that is allowed: for anybody, by invitation, or for people of a domain."""
    invitation = pending.invitation if entrance.sign_up != "off" else ""
    is_welcome = entrance.sign_up == "open" or (person.domain and person.domain in there.settings.domains)
    if not invitation and not is_welcome:
        raise OidcError("unknown", f"{person.identity} has no account here")
    try:
        return await sign_up_by_identity(database_of(request), person.identity, person.name, invitation)
    except InputError as error:
        raise OidcError("invitation", str(error)) from error


def _back(reason: str, place: str = "") -> RedirectResponse:
    return RedirectResponse(f"/?oidc={reason}{place}", 303)


def _cookie(entrance: Entrance) -> str:
    return entrance.cookie_name.replace("session", "sign_on")


def _own_address(request: Request) -> str:
    address = urlsplit(str(request.base_url))
    return f"{address.scheme}://{address.netloc}"
