"""Every error of the server in the one body that all clients read.

OpenAI's client reads `error`, Mistral's takes `detail` as a list, and other programs look for `message` at the top:
one body carries all three.
"""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from bise.errors import BiseError, InputError, NotFoundError, UnavailableError
from bise.server.backend import ContextOverflowError, UnsupportedError

log = logging.getLogger(__name__)
RETRY_AFTER_S = 2
# Names that OpenAI's and Anthropic's APIs share, or that one of them has and the other does not read.
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class ApiError(BiseError):
    """An error with everything that the wire says about it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        values: Mapping[str, str | float] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.values = dict(values or {})
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """Build the error body: the same facts where each client looks for them."""
        facts: dict[str, object] = {
            "message": str(self),
            "type": _TYPES.get(self.status, "api_error" if self.status >= 500 else "invalid_request_error"),
            "param": self.param,
            "code": self.code,
        } | ({"values": self.values} if self.values else {})
        detail = {"loc": ["body", *self.param.split(".")] if self.param else ["body"], "msg": str(self)}
        return {"object": "error", **facts, "error": facts, "detail": [{**detail, "type": self.code}]}

    def response(self, path: str = "") -> JSONResponse:
        """Build the response to a request for a path: Anthropic's clients expect the type `error` at the top."""
        kind = {"type": "error"} if path.startswith("/v1/messages") else {}
        return JSONResponse(self.body() | kind, self.status, headers=self.headers)


OUR_MISTAKE = ApiError(500, "The server made a mistake. Its log says more; please report it.", code="internal")


def as_api_error(error: BiseError) -> ApiError:
    """Give an error of another room its status."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextOverflowError):
        return ApiError(400, str(error), code=error.code, param="messages", values=error.values)
    if isinstance(error, UnsupportedError):
        return ApiError(400, str(error), code="unsupported", param=error.field)
    if isinstance(error, NotFoundError):
        return ApiError(404, str(error), code=error.code or "not_found", values=error.values)
    if isinstance(error, UnavailableError):
        headers = {"retry-after": str(RETRY_AFTER_S)}
        return ApiError(503, str(error), code=error.code or "unavailable", headers=headers, values=error.values)
    assert isinstance(error, InputError)
    return ApiError(400, str(error), code=error.code or "invalid_request", values=error.values)


def from_validation(error: ValidationError) -> ApiError:
    """Name the first field that is wrong, where it stands and what it may be; never repeat what was sent."""
    # Of what is wrong with the branches of a union, that is about the branch that was meant whose type is right, and
    # of those the deepest.
    first = max(
        error.errors(include_url=False, include_context=False, include_input=False),
        key=lambda e: (not e["type"].endswith(("_type", "_parsing")), len(e["loc"])),
    )
    if first["type"] == "json_invalid":
        return ApiError(400, f"The body is not valid JSON: {first['msg'].removeprefix('Invalid JSON: ')}.", code="json")
    # Branches are named after types, not after fields: only what the sender wrote is a place.
    place = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or _is_field(part))
    where = f"{place}: " if place else ""
    return ApiError(400, f"{where}{first['msg'].removeprefix('Value error, ')}.", code="invalid_request", param=place)


_BRANCHES = ("str", "int", "bool", "float", "dict", "list", "function-after", "nullable")


def _is_field(part: str) -> bool:
    return part.isidentifier() and part.islower() and part not in _BRANCHES


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of this application in the one body."""

    @app.exception_handler(BiseError)
    async def on_bise_error(request: Request, error: BiseError) -> JSONResponse:
        return as_api_error(error).response(request.url.path)

    @app.exception_handler(HTTPException)
    async def on_http_error(request: Request, error: HTTPException) -> JSONResponse:
        words = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not possible here."}
        message = words.get(error.status_code, str(error.detail))
        return ApiError(error.status_code, message, code="http", headers=error.headers).response(request.url.path)

    @app.exception_handler(Exception)
    async def on_our_mistake(request: Request, _error: Exception) -> JSONResponse:
        return OUR_MISTAKE.response(request.url.path)
