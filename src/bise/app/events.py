"""The numbered events of a conversation: any browser can come back and go on after the last number it saw.

Events are kept as the bytes that were sent, so that what is replayed is what was sent. They are kept in memory; whoever
comes back for more than is kept gets the finished messages whole instead (`Generations.follow`).
"""

import asyncio
import json
from collections.abc import AsyncGenerator

HEARTBEAT_S = 15.0
MAX_EVENTS = 20_000
_HEARTBEAT = b": still here\n\n"


class EventLog:
    """One conversation's events from number `first + 1` on."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.num_readers = 0
        self._events: list[bytes] = []
        self._changed = asyncio.Event()
        self._closed = False

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self.first + len(self._events)

    def publish(self, kind: str, data: object) -> None:
        """Add an event and wake all readers."""
        self._events.append(encode(kind, data, self.last + 1))
        self._wake()

    def trim(self) -> None:
        """Forget old events when there are too many; to be called between two answers."""
        if len(self._events) > MAX_EVENTS:
            self.first, self._events = self.last, []

    def close(self) -> None:
        """End all readers."""
        self._closed = True
        self._wake()

    async def read(self, after: int) -> AsyncGenerator[bytes, None]:
        """Yield the events after a number, then those to come, and something every 15 s; ends when closed."""
        self.num_readers += 1
        try:
            while not self._closed:
                while after < self.last:
                    after = max(after, self.first) + 1
                    yield self._events[after - self.first - 1]
                changed = self._changed
                if after >= self.last and not self._closed and not await _happens(changed):
                    yield _HEARTBEAT
        finally:
            self.num_readers -= 1

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def encode(kind: str, data: object, number: int | None) -> bytes:
    """Write a server-sent event; without a number it does not move its reader on."""
    head = f"event: {kind}\n" if number is None else f"id: {number}\nevent: {kind}\n"
    return f"{head}data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def _happens(event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(HEARTBEAT_S):
            await event.wait()
    except TimeoutError:
        return False
    return True
