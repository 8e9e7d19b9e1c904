"""What was used, to the token: one row for each day, user, project, key and model."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.store.audit import COMMAND_LINE, Actor, name_of
from bise.store.database import Database
from bise.store.limits import Subject
from bise.store.tables import api_keys, projects, usage, users

Grouping = Literal["day", "month", "user", "project", "key", "model"]
GROUPINGS: tuple[Grouping, ...] = get_args(Grouping)
_COUNTED = ("num_requests", "num_prompt_tokens", "num_completion_tokens")


@dataclass(frozen=True)
class UsageKey:
    """What is counted together; without a key it was the chat."""

    day: date  # UTC
    user_id: str
    project_id: str
    key_id: str
    model: str


@dataclass(frozen=True)
class Counts:
    """How much."""

    num_requests: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0

    @property
    def num_tokens(self) -> int:
        """Prompts and answers together, as limits count them."""
        return self.num_prompt_tokens + self.num_completion_tokens

    def __add__(self, other: "Counts") -> "Counts":
        """Both together."""
        return Counts(
            self.num_requests + other.num_requests,
            self.num_prompt_tokens + other.num_prompt_tokens,
            self.num_completion_tokens + other.num_completion_tokens,
        )


async def add_usage(database: Database, used: Iterable[tuple[UsageKey, Counts]]) -> None:
    """Add to what was counted, all of it or nothing."""
    async with database.write() as connection:
        for key, counts in used:
            await _add(connection, key, counts)


async def tokens_used(database: Database, subject: Subject, month: date) -> tuple[int, int]:
    """How many tokens a subject used in a month, given by its first day, and ever."""
    tokens = usage.c.num_prompt_tokens + usage.c.num_completion_tokens
    column = {"user": usage.c.user_id, "project": usage.c.project_id, "key": usage.c.key_id}[subject.kind]
    query = sa.select(
        sa.func.coalesce(sa.func.sum(sa.case((usage.c.day >= month, tokens), else_=0)), 0),
        sa.func.coalesce(sa.func.sum(tokens), 0),
    ).where(column == subject.id)
    async with database.read() as connection:
        in_month, ever = (await connection.execute(query)).one()
    return int(in_month), int(ever)


async def report(
    database: Database,
    by: Iterable[Grouping],
    since: date | None = None,
    until: date | None = None,
    actor: Actor = COMMAND_LINE,
) -> list[dict[str, Any]]:
    """What was used from a day up to another one, both included, summed up by some of the groupings, in their order.

    Whoever is gone since appears by id.

    Raises:
        RoleError: who asks may not.
    """
    columns = {
        "day": usage.c.day,
        "month": sa.func.substr(sa.cast(usage.c.day, sa.String), 1, 7),
        "user": sa.func.coalesce(users.c.name, usage.c.user_id),
        "project": sa.func.coalesce(projects.c.name, usage.c.project_id),
        "key": sa.func.coalesce(api_keys.c.prefix, usage.c.key_id),
        "model": usage.c.model,
    }
    groups = [columns[name].label(name) for name in by]
    query = (
        sa.select(*groups, *(sa.func.coalesce(sa.func.sum(usage.c[name]), 0).label(name) for name in _COUNTED))
        .select_from(usage)
        .outerjoin(users, users.c.id == usage.c.user_id)
        .outerjoin(projects, projects.c.id == usage.c.project_id)
        .outerjoin(api_keys, api_keys.c.id == usage.c.key_id)
        .group_by(*(columns[name] for name in by))
        .order_by(*groups)
    )
    if since is not None:
        query = query.where(usage.c.day >= since)
    if until is not None:
        query = query.where(usage.c.day <= until)
    async with database.read() as connection:
        await name_of(connection, actor)
        rows = (await connection.execute(query)).mappings().all()
    return [{name: _plain(name, value) for name, value in row.items()} for row in rows]


async def _add(connection: AsyncConnection, key: UsageKey, counts: Counts) -> None:
    """There is one writer: what was not there to be changed is not there to be in the way."""
    row = {**vars(key), "model": key.model[:200]}
    where = sa.and_(*(usage.c[name] == value for name, value in row.items()))
    more = {usage.c[name]: usage.c[name] + getattr(counts, name) for name in _COUNTED}
    if not (await connection.execute(usage.update().where(where).values(more))).rowcount:
        await connection.execute(usage.insert().values(**row, **vars(counts)))


def _plain(name: str, value: Any) -> Any:
    if name in _COUNTED:
        return int(value)  # PostgreSQL's sums are decimals
    return value.isoformat() if isinstance(value, date) else value
