"""Signing in at another provider: OpenID Connect's code flow with PKCE, state and nonce.

The flow's parameters, the challenge and the checks of an ID token's claims are Authlib's, its signature is joserfc's, by
the same authors. Authlib's own asynchronous client is not used: it stands on a second HTTP library.
"""

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from bise.errors import NotFoundError
from bise.server.settings import OidcProvider, is_safe_issuer
from bise.store.identities import MAX_CHARS, Identity

log = logging.getLogger(__name__)
PENDING_S = 600
_MAX_PENDING = 10_000
_TIMEOUT_S = 10.0
_REMEMBER_S = 3600
_LEEWAY_S = 60
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"]


class OidcError(Exception):
    """Why somebody does not come in by a provider; `reason` is a word that the page has a sentence for."""

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(details or reason)
        self.reason = reason


@dataclass(frozen=True)
class Pending:
    """Somebody who is at a provider now."""

    provider_id: str
    redirect_uri: str
    user_id: str  # of who is signed in already and wants to come in by the provider, too; else empty
    invitation: str
    until: float
    state: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))
    browser: str = field(default_factory=lambda: secrets.token_urlsafe(32))  # the value of its cookie


@dataclass(frozen=True)
class Person:
    """What a provider says about somebody, as far as it is used."""

    identity: Identity
    name: str
    domain: str  # of the e-mail address, if it is verified; else empty


class Provider:
    """One provider: what it published about itself, and its keys.

    Raises:
        InputError: the file with its secret cannot be read.
    """

    def __init__(self, settings: OidcProvider, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._secret = settings.read_secret()
        self._clock = clock
        self._metadata: dict[str, Any] = {}
        self._keys = KeySet([])
        self._read_at = -float(_REMEMBER_S)

    async def address(self, pending: Pending) -> str:
        """Where to send a browser."""
        metadata = await self._known()
        address: str = prepare_grant_uri(
            metadata["authorization_endpoint"],
            self.settings.client_id,
            "code",
            pending.redirect_uri,
            "openid profile email",
            pending.state,
            nonce=pending.nonce,
            code_challenge=create_s256_code_challenge(pending.verifier),
            code_challenge_method="S256",
        )
        return address

    async def person(self, pending: Pending, code: str) -> Person:
        """Change a code for what the provider says about somebody, and check every word of it.

        Raises:
            OidcError: the provider refuses, or its answer does not hold.
        """
        token = await self._exchange(pending, code)
        try:
            claims = await self.claims(token["id_token"], pending, token.get("access_token"))
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise OidcError("failed", f"{self.settings.issuer} sent no ID token that holds: {error}") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_CHARS:
            raise OidcError("failed", f"{self.settings.issuer} named nobody")
        return _person(Identity(self.settings.issuer, subject), claims)

    async def _exchange(self, pending: Pending, code: str) -> dict[str, Any]:
        metadata = await self._known()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.verifier,
            "client_id": self.settings.client_id,
        }
        auth = None
        if self._secret and "client_secret_post" in metadata.get("token_endpoint_auth_methods_supported", ()):
            form["client_secret"] = self._secret
        elif self._secret:
            auth = httpx.BasicAuth(quote(self.settings.client_id, safe=""), quote(self._secret, safe=""))
        return await self._fetch("POST", metadata["token_endpoint"], data=form, auth=auth)

    async def claims(self, id_token: str, pending: Pending, access_token: str | None = None) -> CodeIDToken:
        """What an ID token says, once its signature, issuer, audience, times and nonce hold.

        Raises:
            JoseError, KeyError, TypeError, ValueError: one of them does not, or it is none.
            OidcError: the provider's keys cannot be read.
        """
        await self._known()
        try:
            token = jwt.decode(id_token, self._keys, algorithms=_ALGORITHMS)
        except (JoseError, ValueError):
            await self._discover()  # the provider may have new keys
            token = jwt.decode(id_token, self._keys, algorithms=_ALGORITHMS)
        options = {
            "iss": {"essential": True, "value": self.settings.issuer},
            "aud": {"essential": True, "value": self.settings.client_id},
            "nonce": {"essential": True, "value": pending.nonce},
        }
        params = {"nonce": pending.nonce, "client_id": self.settings.client_id, "access_token": access_token}
        claims = CodeIDToken(token.claims, token.header, options, params)
        claims.validate(now=int(self._clock()), leeway=_LEEWAY_S)
        return claims

    async def _known(self) -> dict[str, Any]:
        if self._clock() - self._read_at > _REMEMBER_S:
            await self._discover()
        return self._metadata

    async def _discover(self) -> None:
        """Read what the provider publishes; it must be who it is said to be, and reached safely."""
        issuer = self.settings.issuer
        metadata = await self._fetch("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if metadata.get("issuer") != issuer:
            raise OidcError("failed", f"{issuer} calls itself {str(metadata.get('issuer'))[:200]!r}")
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            if not is_safe_issuer(str(metadata.get(name))):
                raise OidcError("failed", f"the {name} of {issuer} is {str(metadata.get(name))[:200]!r}, not https")
        try:
            self._keys = KeySet.import_key_set(await self._fetch("GET", metadata["jwks_uri"]))  # type: ignore[arg-type]
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise OidcError("failed", f"the keys of {issuer} cannot be read: {error}") from error
        self._metadata, self._read_at = metadata, self._clock()

    async def _fetch(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        headers = {"accept": "application/json"}
        # bise.config alone reads the environment
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as client:
            try:
                response = await client.request(method, url, headers=headers, **request)
                answer = response.json()
            except (httpx.HTTPError, ValueError) as error:
                raise OidcError("away", f"{url} did not answer: {error!r}") from error
        if response.status_code != 200 or not isinstance(answer, dict):
            reason = answer.get("error") if isinstance(answer, dict) else ""
            raise OidcError("failed", f"{url} answered {response.status_code} {str(reason)[:100]}")
        return answer


class SingleSignOn:
    """The providers of this server, and who is at one of them now; each sign-in ends once, in the browser it began in."""

    def __init__(self, settings: Sequence[OidcProvider] = (), clock: Callable[[], float] = time.time) -> None:
        self.providers = {each.id: Provider(each, clock) for each in settings}
        self._clock = clock
        self._pending: OrderedDict[str, Pending] = OrderedDict()

    def list(self) -> list[dict[str, str]]:
        """What people may know of them."""
        return [{"id": id_, "name": each.settings.name} for id_, each in self.providers.items()]

    def provider(self, provider_id: str) -> Provider:
        """One of them.

        Raises:
            NotFoundError: there is none of that id.
        """
        if provider_id not in self.providers:
            known = ", ".join(self.providers) or "none"
            raise NotFoundError(f"There is no provider {provider_id[:50]!r} here. The providers are: {known}.")
        return self.providers[provider_id]

    def begin(self, provider_id: str, redirect_uri: str, user_id: str = "", invitation: str = "") -> Pending:
        """Note that a browser goes to a provider."""
        pending = Pending(provider_id, redirect_uri, user_id, invitation, self._clock() + PENDING_S)
        self._pending[pending.state] = pending
        while len(self._pending) > _MAX_PENDING:
            self._pending.popitem(last=False)
        return pending

    def end(self, provider_id: str, state: str, browser: str) -> Pending:
        """Whom a browser that comes back belongs to; a state is good for one time.

        Raises:
            OidcError: nobody went there with it, too long ago, or from another browser.
        """
        pending = self._pending.pop(state, None)
        if (
            pending is None
            or pending.until < self._clock()
            or pending.provider_id != provider_id
            or not secrets.compare_digest(pending.browser.encode(), browser.encode())
        ):
            raise OidcError("expired")
        return pending


def _person(identity: Identity, claims: CodeIDToken) -> Person:
    email = claims.get("email")
    is_verified = claims.get("email_verified") is True and isinstance(email, str) and email.count("@") == 1
    local, _, domain = str(email).partition("@") if is_verified else ("", "", "")
    wishes = (claims.get("preferred_username"), claims.get("name"), local)
    return Person(identity, next((wish for wish in wishes if isinstance(wish, str) and wish), ""), domain.lower())
