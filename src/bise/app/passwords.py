"""Hashing of passwords with argon2id: beside the event loop, few at a time.

Each takes 64 MiB and a good part of a second of a core, on purpose. So that this is no way to exhaust the server, two run
at a time, a few wait, and more are refused.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from bise.errors import UnavailableError

MAX_WAITING = 32  # with those that run
_NUM_AT_ONCE = 2
Result = TypeVar("Result")


class Passwords:
    """Makes and checks hashes; without a hasher, with argon2id at the costs of RFC 9106 for little memory."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._places = asyncio.Semaphore(_NUM_AT_ONCE)
        self._num_waiting = 0
        self._nobodys = ""  # a hash to compare with where there is no account, so that this takes as long

    async def hash(self, password: str) -> str:
        """The hash of a password.

        Raises:
            UnavailableError: too many want one at the moment.
        """
        return await self._in_turn(lambda: self._hasher.hash(password))

    async def check(self, password: str, hashed: str | None) -> bool:
        """Whether a password is that of a hash; None, for an account that is not there, takes as long and is False.

        Raises:
            UnavailableError: too many want to know at the moment.
        """
        if not self._nobodys:
            self._nobodys = await self.hash("nobody's")
        against = hashed or self._nobodys
        return await self._in_turn(lambda: self._agree(password, against)) and hashed is not None

    def is_outdated(self, hashed: str) -> bool:
        """Whether a hash was made at other costs than today's."""
        return self._hasher.check_needs_rehash(hashed)

    async def _in_turn(self, work: Callable[[], Result]) -> Result:
        if self._num_waiting >= MAX_WAITING:
            raise UnavailableError("Too many people are signing in at this moment. Try again in a few seconds.")
        self._num_waiting += 1
        try:
            async with self._places:
                return await asyncio.to_thread(work)
        finally:
            self._num_waiting -= 1

    def _agree(self, password: str, hashed: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False
