"""Counting what is used, and refusing what limits do not allow, before work starts.

One server process owns this: it counts in memory and writes down each second, so that no request waits for the database.
What a request may use is reserved when it begins, and replaced by what it used when it ends. All limits of its caller
must hold: those of the key, of the project, and of the user or everybody.
"""

import asyncio
import logging
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from bise.errors import UnavailableError
from bise.server.errors import RETRY_AFTER_S, ApiError
from bise.store.database import Database
from bise.store.keys import Caller
from bise.store.limits import Limited, Limits, Subject
from bise.store.usage import Counts, UsageKey, add_usage, tokens_used

log = logging.getLogger(__name__)
WRITE_EVERY_S = 1.0
_MINUTE_S = 60.0
_DAY_S = 86_400


@dataclass
class _Account:
    """What a subject uses now and used lately."""

    num_parallel: int = 0
    num_reserved: int = 0  # tokens of requests that have not ended
    allowance: float = 1.0  # requests that may come now
    allowed_at: float | None = None
    lately: deque[tuple[float, int]] = field(default_factory=deque)  # (when, tokens) of the last minute
    month: date | None = None
    num_in_month: int = 0
    num_ever: int = 0
    is_loaded: bool = False  # whether the two above know what the database knows


@dataclass
class Reservation:
    """What a request holds until it ends."""

    num_tokens: int = 0
    is_held: bool = False


class Meter:
    """Knows what everybody uses; `clock` tells seconds since 1970."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock
        self._accounts: defaultdict[tuple[str, str], _Account] = defaultdict(_Account)
        self._pending: dict[UsageKey, Counts] = {}  # not in the database yet
        self._lock = asyncio.Lock()  # of what moves from `_pending` into the database
        self._writing: asyncio.Task[None] | None = None

    def admit(self, caller: Caller) -> None:
        """Let a request in, or say that they come too fast.

        Raises:
            ApiError: 429, with the seconds to wait.
        """
        moment = self._clock()
        bound = [(each, self._account(each.subject)) for each in caller.limits if each.limits.requests_per_s]
        for limited, account in bound:
            rate = limited.limits.requests_per_s or math.inf
            burst = max(1.0, rate)
            since = moment - (account.allowed_at if account.allowed_at is not None else -math.inf)
            account.allowance = min(burst, account.allowance + max(since, 0.0) * rate)
            account.allowed_at = moment
            if account.allowance < 1:
                raise _too_often(limited, "requests", rate, (1 - account.allowance) / rate)
        for _, account in bound:
            account.allowance -= 1

    async def reserve(self, caller: Caller, reservation: Reservation, num_tokens: int) -> None:
        """Hold what a request, or one more part of it, may use.

        Raises:
            ApiError: 429, when that is more than a limit leaves.
            UnavailableError: the database cannot tell what was used before.
        """
        for limited in caller.limits:
            await self._load(limited)
        # Nothing is awaited from here on: what is checked is still true when it is taken.
        accounts = [(limited, self._account(limited.subject)) for limited in caller.limits]
        for limited, account in accounts:
            self._check(limited, account, num_tokens, is_new=not reservation.is_held)
        for _, account in accounts:
            account.num_reserved += num_tokens
            account.num_parallel += not reservation.is_held
        reservation.num_tokens += num_tokens
        reservation.is_held = True

    def settle(self, caller: Caller, reservation: Reservation, used: dict[str, Counts]) -> None:
        """Give back what a request held, and count what it used, by model."""
        moment = self._clock()
        num_tokens = sum(counts.num_tokens for counts in used.values())
        for limited in caller.limits:
            account = self._account(limited.subject)
            if reservation.is_held:
                account.num_parallel -= 1
                account.num_reserved -= reservation.num_tokens
            self._add(account, moment, num_tokens)
        today = datetime.fromtimestamp(moment, UTC).date()
        for model, counts in used.items():
            key = UsageKey(today, caller.user_id, caller.project_id, caller.key_id, model)
            self._pending[key] = self._pending.get(key, Counts()) + counts
        if self._pending and (self._writing is None or self._writing.done()):
            self._writing = asyncio.create_task(self._write_soon())

    async def write(self) -> None:
        """Write down what was counted; what cannot be written is kept for the next time.

        Raises:
            UnavailableError: the database is away.
        """
        async with self._lock:
            await self._write()

    async def close(self) -> None:
        """Write down the rest."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        try:
            await self.write()
        except UnavailableError as error:
            log.error("What was used since the last second could not be written down: %s", error)

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        try:
            await add_usage(self._database, pending.items())
        except BaseException:
            for key, counts in pending.items():
                self._pending[key] = self._pending.get(key, Counts()) + counts
            raise

    async def _write_soon(self) -> None:
        is_told = False
        while self._pending:
            await asyncio.sleep(WRITE_EVERY_S)
            try:
                await self.write()
            except UnavailableError as error:
                if not is_told:
                    log.error("What was used cannot be written down now, and is kept: %s", error)
                is_told = True

    def _account(self, subject: Subject) -> _Account:
        return self._accounts[(subject.kind, subject.id)]

    def _add(self, account: _Account, moment: float, num_tokens: int) -> None:
        if num_tokens:
            account.lately.append((moment, num_tokens))
        self._forget(account, moment)
        account.num_in_month += num_tokens
        account.num_ever += num_tokens

    def _forget(self, account: _Account, moment: float) -> None:
        """Let go of what is older than a minute, and of what belongs to another month."""
        while account.lately and account.lately[0][0] <= moment - _MINUTE_S:
            account.lately.popleft()
        month = datetime.fromtimestamp(moment, UTC).date().replace(day=1)
        if account.month != month:
            account.month, account.num_in_month = month, 0

    async def _load(self, limited: Limited) -> None:
        """Ask the database, once, what was used by a subject with a budget."""
        account, limits = self._account(limited.subject), limited.limits
        if account.is_loaded or (limits.tokens_per_month is None and limits.tokens_total is None):
            return
        async with self._lock:
            await self._write()
            month = datetime.fromtimestamp(self._clock(), UTC).date().replace(day=1)
            in_month, ever = await tokens_used(self._database, limited.subject, month)
            # What was counted meanwhile waits in `_pending`, for the lock that we hold.
            since = sum(c.num_tokens for key, c in self._pending.items() if _is_of(key, limited.subject))
            account.month, account.num_in_month, account.num_ever = month, in_month + since, ever + since
            account.is_loaded = True

    def _check(self, limited: Limited, account: _Account, num_tokens: int, *, is_new: bool) -> None:
        limits, moment = limited.limits, self._clock()
        self._forget(account, moment)
        if is_new and limits.parallel is not None and account.num_parallel >= limits.parallel:
            raise _too_often(limited, "parallel", limits.parallel, RETRY_AFTER_S)
        wanted = num_tokens + account.num_reserved
        for what, bound, used in _budgets(limits, account):
            if bound is None or used + wanted <= bound:
                continue
            if num_tokens > bound:
                raise _too_big(limited, what, bound, num_tokens)
            wait_s = _wait(what, account, moment, used + wanted - bound)
            if what == "a minute":
                raise _too_often(limited, "tokens", bound, wait_s)
            raise _used_up(limited, what, bound, wait_s)


def _budgets(limits: Limits, account: _Account) -> tuple[tuple[str, int | None, int], ...]:
    return (
        ("a minute", limits.tokens_per_min, sum(tokens for _, tokens in account.lately)),
        ("a month", limits.tokens_per_month, account.num_in_month),
        ("in all", limits.tokens_total, account.num_ever),
    )


def _wait(what: str, account: _Account, moment: float, num_excess: int) -> float:
    """Seconds until enough of what was used does not count any more."""
    if what == "a minute":
        for when, tokens in account.lately:
            num_excess -= tokens
            if num_excess <= 0:
                return when + _MINUTE_S - moment
        return RETRY_AFTER_S  # others that are being answered hold the rest
    if what == "a month":
        today = datetime.fromtimestamp(moment, UTC)
        first = (today.replace(day=1) + timedelta(days=32)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first - today).total_seconds()
    return _DAY_S


def _is_of(key: UsageKey, subject: Subject) -> bool:
    return {"user": key.user_id, "project": key.project_id, "key": key.key_id}.get(subject.kind) == subject.id


def _whose(limited: Limited) -> str:
    return {"user": "your account", "project": "this key's project", "key": "this key"}[limited.subject.kind]


_TOO_OFTEN = {"requests": "requests a second", "parallel": "requests at the same time", "tokens": "tokens a minute"}


def _too_often(limited: Limited, kind: str, limit: float, wait_s: float) -> ApiError:
    seconds = max(1, math.ceil(wait_s))
    bound = f"{limit:,}".removesuffix(".0")
    message = f"The limit of {_whose(limited)} is {bound} {_TOO_OFTEN[kind]}. Ask again in {seconds} s."
    headers = {"retry-after": str(seconds)}
    values: dict[str, str | float] = {"kind": kind, "limit": limit, "seconds": seconds}
    return ApiError(429, message, code="rate_limited", headers=headers, values=values)


def _used_up(limited: Limited, what: str, bound: int, wait_s: float) -> ApiError:
    message = f"The limit of {_whose(limited)} is {bound:,} tokens {what}. Ask the operator for more."
    headers = {"retry-after": str(max(1, math.ceil(wait_s))), "x-should-retry": "false"}
    values: dict[str, str | float] = {"kind": {"a month": "month", "in all": "total"}[what], "limit": bound}
    return ApiError(429, message, code="insufficient_quota", headers=headers, values=values)


def _too_big(limited: Limited, what: str, bound: int, num_tokens: int) -> ApiError:
    message = (
        f"This request may use about {num_tokens:,} tokens, prompt and answer together, but the limit of "
        f"{_whose(limited)} is {bound:,} {what}. Ask for less with max_tokens, or send less text."
    )
    headers = {"retry-after": str(_DAY_S), "x-should-retry": "false"}
    values: dict[str, str | float] = {"kind": "too_big", "tokens": num_tokens, "limit": bound}
    return ApiError(429, message, code="insufficient_quota", headers=headers, values=values)
