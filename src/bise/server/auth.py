"""Who calls the API: the key in the header that the caller's program uses, and what that key opens.

Keys that were looked up are remembered for two seconds, so that the database is not asked for every request. Whatever
this process changes about accounts is true at once; what another one changes (`bise admin`), after those two seconds.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Annotated

from fastapi import Depends, Request

from bise.server.admission import Admission, CallersBackend
from bise.server.errors import ApiError
from bise.store.accounts import sha256
from bise.store.database import Database
from bise.store.keys import Caller, Scope, caller_of_key
from bise.store.tables import now

REMEMBER_S = 2.0
_MAX_REMEMBERED = 10_000


class KeyRing:
    """Finds callers by their keys; remembers the keys' hashes, never the keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()  # the longest remembered first
        self._num_changes = 0

    async def find(self, key: str) -> Caller | None:
        """Whose key this is, or None when it opens nothing."""
        if self._num_changes != self._database.num_account_changes:
            self._known.clear()
            self._num_changes = self._database.num_account_changes
        hashed, moment = sha256(key), time.monotonic()
        caller, until = self._known.get(hashed, (None, 0.0))
        if caller is None or until <= moment:
            self._known.pop(hashed, None)
            num_changes = self._num_changes
            caller = await caller_of_key(self._database, key)
            if caller is not None and num_changes == self._database.num_account_changes:
                self._known[hashed] = (caller, moment + REMEMBER_S)
                if len(self._known) > _MAX_REMEMBERED:
                    self._known.popitem(last=False)
        return None if caller is None or (caller.expires_at and caller.expires_at <= now()) else caller


async def find_caller(request: Request) -> Caller:
    """Find on whose behalf a request comes, by `Authorization: Bearer`, `x-api-key` or `api-key`.

    Raises:
        ApiError: 401, when there is no key or it opens nothing.
    """
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    headers = (
        bearer.strip() if scheme.lower() == "bearer" else "",
        *map(request.headers.get, ("x-api-key", "api-key")),
    )
    key = next((value for value in headers if value), None)
    if key is None:
        raise _unauthorised("This address needs a key in the header 'Authorization: Bearer …' or 'x-api-key'.")
    keys: KeyRing = request.app.state.keys
    caller = await keys.find(key)
    if caller is None:
        raise _unauthorised("This key is not known here, has ended, or was revoked.")
    request.state.caller = caller
    return caller


def admission_of(request: Request) -> Admission:
    """Give the door of this server."""
    admission: Admission = request.app.state.admission
    return admission


def admitted(scope: Scope | None) -> Callable[[Request], AsyncIterator[CallersBackend]]:
    """A dependency: the backend for a caller whose key has a scope, for the time of one request.

    Its own errors: 401 without a valid key, 403 without the scope, and what `Admission.serve` raises.
    """

    async def enter(request: Request) -> AsyncIterator[CallersBackend]:
        caller = await find_caller(request)
        if scope is not None:
            _check_scope(caller, scope)
        with admission_of(request).serve(caller) as backend:
            yield backend

    return enter


async def require_metrics(request: Request) -> None:
    """Let programs look that watch the server, also while it is full."""
    _check_scope(await find_caller(request), "metrics")


def _check_scope(caller: Caller, scope: Scope) -> None:
    if scope not in caller.scopes:
        message = f"This key is for {', '.join(sorted(caller.scopes))}, not for {scope}. Make another one for it."
        raise ApiError(403, message, code="scope")


def _unauthorised(message: str) -> ApiError:
    advice = "Make one on the server's machine with: bise admin keys"
    return ApiError(401, f"{message} {advice}", code="invalid_api_key", headers={"www-authenticate": "Bearer"})


Inference = Annotated[CallersBackend, Depends(admitted("inference"))]
Embedding = Annotated[CallersBackend, Depends(admitted("embeddings"))]
AnyKey = Annotated[CallersBackend, Depends(admitted(None))]
