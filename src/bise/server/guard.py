"""What every request passes first, whatever its path: who may ask, how much, and what a browser may do with the answer.

A page of another site can make a browser send requests here, and can even let its own name point to this machine (DNS
rebinding). So the server answers only to its own names, and to no page but its own.
"""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bise.server.errors import ApiError

MAX_BODY_BYTES = 2 << 20
NO_UPLOADS: Mapping[str, int] = {}
_DISCARDED_BYTES = 32 << 20
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",  # KaTeX places its glyphs with style attributes
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]


@dataclass(frozen=True)
class Names:
    """What this server is called by those who may ask it; without anything, by the names of loopback alone.

    A page can only make a browser send a name that the page's own site has: so bare addresses are safe to answer to.
    """

    is_open: bool = False  # whether other machines may connect
    host: str = ""  # as given to listen on
    url: str = ""  # as others type it, for example that of a TLS proxy before us

    def has(self, name: str) -> bool:
        """Whether a request for this name is for us."""
        if is_loopback(name):
            return True
        public = urlsplit(self.url).hostname or ""
        return self.is_open and (_is_address(name) or name in {self.host.lower(), public} - {""})

    def is_own_page(self, origin: str, scheme: str, host: str) -> bool:
        """Whether a page that asks is one of ours."""
        if origin == f"{scheme}://{host}":
            return True
        public = urlsplit(self.url)
        return bool(self.url) and origin == f"{public.scheme}://{public.netloc}".lower()


ONLY_LOOPBACK = Names()


class Guard:
    """ASGI middleware: refuses foreign hosts, foreign pages and oversized bodies; adds the security headers."""

    def __init__(self, app: ASGIApp, names: Names = ONLY_LOOPBACK, uploads: Mapping[str, int] = NO_UPLOADS) -> None:
        self._app = app
        self._names = names
        self._uploads = uploads  # paths whose bodies are files, with the bytes that these may have

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(message)
            await send(message)

        max_bytes = self._uploads.get(scope["path"], MAX_BODY_BYTES)
        refusal = refuse(scope, self._names, max_bytes)
        if refusal is not None:
            await _discard(receive)
            await refusal.response()(scope, receive, send_guarded)
            return
        await self._app(scope, _limited(receive, max_bytes), send_guarded)


def refuse(scope: Scope, names: Names = ONLY_LOOPBACK, max_bytes: int = MAX_BODY_BYTES) -> ApiError | None:
    """Say why a request may not come in, from its head alone, or None."""
    headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
    host, origin = headers.get(b"host", ""), headers.get(b"origin")
    if not names.has(_name(host)):
        return ApiError(421, _wrong_name(host, names), code="host")
    if origin is not None and not names.is_own_page(origin, scope["scheme"], host):
        return ApiError(403, f"Pages of {origin[:100]!r} may not ask this server.", code="origin")
    length = headers.get(b"content-length", "0")
    if not length.isdecimal():
        return ApiError(400, "The content-length header is not a number.", code="http")
    return _too_large(max_bytes) if int(length) > max_bytes else None


def _wrong_name(host: str, names: Names) -> str:
    if names.is_open:
        return f"This server is not called {host[:100]!r}. Its operator names it with: bise serve --url"
    return f"This server answers as 127.0.0.1 or localhost, not as {host[:100]!r}. Use the address bise printed."


def _name(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower().strip("[]")


def is_loopback(name: str) -> bool:
    """Whether a host's name or address means this machine and no other."""
    if name == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _limited(receive: Receive, max_bytes: int) -> Receive:
    """Count what really comes: a body may have no length, or a wrong one."""
    received = 0

    async def limited() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            await _discard(receive)
            raise _too_large(max_bytes)
        return message

    return limited


async def _discard(receive: Receive) -> None:
    """Let a refused sender finish within reason: most programs read the answer only then."""
    discarded, more = 0, True
    while more and discarded < _DISCARDED_BYTES:
        message = await receive()
        discarded += len(message.get("body", b""))
        more = message.get("more_body", False)


def _too_large(max_bytes: int) -> ApiError:
    message = f"The body is larger than {max_bytes} bytes, the most this server reads here. Send less."
    return ApiError(413, message, code="body_too_large", headers={"connection": "close"}, values={"bytes": max_bytes})


def _add_headers(message: Message) -> None:
    present = {name for name, _ in message["headers"]}
    message["headers"] = [*message["headers"], *(header for header in _HEADERS if header[0] not in present)]
