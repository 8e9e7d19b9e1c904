"""Bounds on guessing: how often somebody may try in vain to come in, by account and address.

Names are counted as they are typed, whether an account has them or not, so a refusal tells nothing. An account cannot be
shut out from everywhere by a stranger at one address: their tries count for the two together first. Kept in memory, for
there is one server process.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable

from bise.server.errors import ApiError

WINDOW_S = 900
MAX_BY_BOTH = 10  # of one address for one account
MAX_BY_ADDRESS = 50
MAX_BY_ACCOUNT = 100
_MAX_REMEMBERED = 20_000


class Attempts:
    """Counts what failed within the last quarter of an hour."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()  # the longest unchanged first

    def begin(self, account: str, address: str) -> None:
        """Count a try before it is known how it ends, so that tries at the same moment count as well.

        Raises:
            ApiError: 429 with `Retry-After`, there were too many.
        """
        moment = self._clock()
        waits = [self._wait(key, most, moment) for key, most in _bounds(account, address)]
        if max(waits) > 0:
            minutes = math.ceil(max(waits) / 60)
            message = f"There were too many attempts to sign in. Try again in {minutes} minutes."
            headers = {"retry-after": str(math.ceil(max(waits)))}
            raise ApiError(429, message, code="too_many_attempts", headers=headers, values={"minutes": minutes})
        for key, _ in _bounds(account, address):
            self._failures.setdefault(key, deque()).append(moment)
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_REMEMBERED:
            self._failures.popitem(last=False)

    def succeed(self, account: str, address: str) -> None:
        """Forget this try, and what failed before of the account from this address."""
        self.take_back(account, address)
        (both, _), *_ = _bounds(account, address)
        self._failures.pop(both, None)

    def take_back(self, account: str, address: str) -> None:
        """Forget this try alone: what failed before still counts."""
        for key, _ in _bounds(account, address):
            if self._failures.get(key):
                self._failures[key].pop()

    def _wait(self, key: tuple[str, str], most: int, moment: float) -> float:
        """Seconds until another try is allowed."""
        failures = self._failures.get(key, deque())
        while failures and failures[0] <= moment - WINDOW_S:
            failures.popleft()
        return failures[-most] + WINDOW_S - moment if len(failures) >= most else 0.0


def _bounds(account: str, address: str) -> tuple[tuple[tuple[str, str], int], ...]:
    name = account.casefold()[:200] or " "
    return ((name, address), MAX_BY_BOTH), (("", address), MAX_BY_ADDRESS), ((name, ""), MAX_BY_ACCOUNT)
