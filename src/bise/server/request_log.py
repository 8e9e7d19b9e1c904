"""One line of JSON for each request, for operators who want it; what was asked only when they want that, too."""

import json
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bise.store.tables import now

log = logging.getLogger("bise.requests")
_MAX_LOGGED_BYTES = 64 << 10
# Where prompts arrive. Nothing else is written down: not passwords, and not conversations that are to leave no trace.
_HEARD = ("/v1/", "/openai/", "/tokenize", "/detokenize", "/api/conversations", "/api/messages/")


class RequestLog:
    """ASGI middleware; JSON's escapes keep what a client sends from looking like another line."""

    def __init__(self, app: ASGIApp, *, with_prompts: bool) -> None:
        self._app = app
        self._with_prompts = with_prompts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and tell of it when it ends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, body = time.perf_counter(), 0, bytearray()

        async def listen() -> MutableMapping[str, Any]:
            message = await receive()
            if len(body) < _MAX_LOGGED_BYTES:
                body.extend(message.get("body", b""))
            return message

        async def tell(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        listens = self._with_prompts and scope["path"].startswith(_HEARD)
        try:
            await self._app(scope, listen if listens else receive, tell)
        finally:
            log.info(_line(scope, status, time.perf_counter() - began, bytes(body[:_MAX_LOGGED_BYTES])))


def _line(scope: Scope, status: int, elapsed_s: float, body: bytes) -> str:
    # Not the path with its query: the address that lets a browser in is one.
    facts = {"at": now().isoformat(), "method": scope["method"], "path": scope["path"], "status": status}
    facts["ms"] = round(elapsed_s * 1000, 1)
    caller = scope.get("state", {}).get("caller")
    if caller is not None:
        facts |= {"key": caller.key_prefix, "user_id": caller.user_id, "project_id": caller.project_id}
    if body:
        facts["body"] = body.decode(errors="replace")
    return json.dumps(facts)
