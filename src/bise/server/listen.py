"""Taking an address and serving an application on it until somebody ends it."""

import errno
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from bise.errors import InputError, UnavailableError
from bise.server.guard import is_loopback

GRACE_S = 5  # how long answers in the making may go on after Ctrl-C
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Server(uvicorn.Server):
    """Serves until Ctrl-C or SIGTERM and then returns; `on_stopping` is awaited first, to end streams without an end."""

    def __init__(self, app: ASGIApp, on_stopping: Callable[[], Awaitable[None]]) -> None:
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
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._on_stopping = on_stopping

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what would never end by itself, then let the rest finish."""
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
    """Take an address of this machine's loopback.

    Raises:
        InputError: the host is not loopback, or the port is not a port.
        UnavailableError: the port is taken, or not ours to take.
    """
    if not 0 <= port <= 65535:
        raise InputError(f"{port} is not a port. Give one from 1024 to 65535, or 0 for any free one.")
    address = "127.0.0.1" if host == "localhost" else host
    if not is_loopback(address):
        raise InputError(
            f"Listening on {host} is not possible yet: only this machine may connect, until there are accounts. "
            "Use --host 127.0.0.1, and for access from elsewhere a tunnel such as: ssh -L 8421:127.0.0.1:8421 HOST"
        )
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if hasattr(socket, "SO_REUSEADDR") and not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            advice = f"Is Bise running there already? Otherwise take another port: bise serve --port {port % 65535 + 1}"
            raise UnavailableError(f"Port {port} of {address} is taken by another program. {advice}") from None
        raise UnavailableError(f"Port {port} of {address} cannot be used: {error.strerror}.") from None
    return listener
