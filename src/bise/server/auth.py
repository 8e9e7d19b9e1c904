"""Who calls /v1: the user whose key comes in the header that the caller's program uses."""

from typing import Annotated

from fastapi import Depends, Request

from bise.server.errors import ApiError
from bise.store.accounts import User, user_of_key


async def require_key(request: Request) -> User:
    """Find the user of the key in `Authorization: Bearer`, `x-api-key` or `api-key`.

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
    user = await user_of_key(request.app.state.database, key)
    if user is None:
        raise _unauthorised("This key is not known here, or it was revoked.")
    return user


def _unauthorised(message: str) -> ApiError:
    advice = "Make one on the server's machine with: bise admin keys"
    return ApiError(401, f"{message} {advice}", code="invalid_api_key", headers={"www-authenticate": "Bearer"})


ApiUser = Annotated[User, Depends(require_key)]
