"""Taking an address and serving an application on it until somebody ends it."""

import asyncio
import errno
import math
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from bise.errors import InputError, UnavailableError
from bise.server.settings import STANDARD, ServerSettings

_TICK_S = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Serves until Ctrl-C or SIGTERM and then returns; a second Ctrl-C ends it at once.

    `on_notice` is called first: others should send no more requests here. Those that come all the same are taken for as
    long as the settings say. Then `on_stopping` is awaited, to end streams without an end.
    """

    def __init__(
        self,
        app: ASGIApp,
        on_stopping: Callable[[], Awaitable[None]],
        on_notice: Callable[[], None] = lambda: None,
        settings: ServerSettings = STANDARD,
    ) -> None:
        # No access log: its lines would hold the token of /enter. Nothing is believed about proxies.
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=math.ceil(settings.drain_s),
            )
        )
        self._on_stopping = on_stopping
        self._on_notice = on_notice
        self._notice_s = settings.notice_s

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would never end by itself, then let the rest finish."""
        self._on_notice()
        for _ in range(round(self._notice_s / _TICK_S)):
            if not self.force_exit:
                await asyncio.sleep(_TICK_S)
        await self._on_stopping()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take Ctrl-C as the wish to end; it is then done with, not raised again."""
        previous = {each: signal.signal(each, self.handle_exit) for each in _SIGNALS}
        try:
            yield
        finally:
            for each, handler in previous.items():
                signal.signal(each, handler)


def bind(host: str, port: int) -> socket.socket:
    """Take an address of this machine; whether others may connect to it is for the caller to decide.

    Raises:
        InputError: the host is none of this machine's, or the port is not a port.
        UnavailableError: the port is taken, or not ours to take.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"{port} is not a port. Give one from 1024 to 65535, or 0 for any free one.")
    address = "127.0.0.1" if host == "localhost" else host
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except socket.gaierror:
        listener.close()
        raise InputError(
            f"{host!r} is no address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them."
        ) from None
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRNOTAVAIL:
            raise InputError(
                f"{host} is no address of this machine. Use 127.0.0.1, or 0.0.0.0 for all of them."
            ) from None
        if error.errno == errno.EADDRINUSE:
            advice = f"Is Bise running there already? Otherwise take another port: bise serve --port {port % 65535 + 1}"
            raise UnavailableError(f"Port {port} of {address} is taken by another program. {advice}") from None
        raise UnavailableError(f"Port {port} of {address} cannot be used: {error.strerror}.") from None
    return listener
