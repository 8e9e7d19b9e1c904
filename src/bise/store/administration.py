"""The people of a server, for those who look after it: what is counted about them, and what they may be.

Nothing here reads a conversation, and there is no way for an admin to one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.accounts import LOCAL_OWNER, Role, User, user_of_row
from bise.store.audit import Actor, name_of, record
from bise.store.database import Database
from bise.store.tables import now, sessions, usage, users


@dataclass(frozen=True)
class Person:
    """Somebody with an account, as far as it concerns an admin."""

    user: User
    created_at: datetime
    seen_at: datetime | None
    num_tokens: int  # this month, prompts and answers together
    num_requests: int  # this month


async def has_admin(connection: AsyncConnection, *, besides: str = "") -> bool:
    """Whether somebody with an account answers for the server, besides the one with an id; the local owner does not."""
    active = (users.c.role == "admin") & users.c.disabled_at.is_(None)
    others = (users.c.name != LOCAL_OWNER) & (users.c.id != besides)
    return (await connection.execute(users.select().where(active, others).limit(1))).one_or_none() is not None


async def list_people(database: Database, actor: Actor) -> tuple[Person, ...]:
    """Everybody, by name.

    Raises:
        RoleError: who asks may not.
    """
    seen = sa.select(sa.func.max(sessions.c.seen_at)).where(sessions.c.user_id == users.c.id).scalar_subquery()
    month = (usage.c.user_id == users.c.id) & (usage.c.day >= now().date().replace(day=1))
    tokens = usage.c.num_prompt_tokens + usage.c.num_completion_tokens
    counts = [_sum(tokens, month).label("num_tokens"), _sum(usage.c.num_requests, month).label("num_requests")]
    query = sa.select(users, seen.label("seen_at"), *counts).order_by(users.c.name)
    async with database.read() as connection:
        await name_of(connection, actor)
        rows = (await connection.execute(query)).all()
    return tuple(
        Person(user_of_row(row), row.created_at, row.seen_at, int(row.num_tokens), int(row.num_requests))
        for row in rows
    )


async def change_person(
    database: Database, actor: Actor, user_id: str, role: Role | None = None, is_disabled: bool | None = None
) -> None:
    """Give somebody another role, or shut them out or let them in again; None leaves it as it is.

    Raises:
        InputError: nobody would be left who answers for the server.
        NotFoundError: there is no such user.
        RoleError: who asks may not.
    """
    async with database.write() as connection:
        name = await name_of(connection, actor)  # before the change: admins may take their own role away
        user = await user_by_id(connection, user_id)
        if (
            (role == "user" or is_disabled)
            and user.role == "admin"
            and not await has_admin(connection, besides=user_id)
        ):
            raise InputError(
                f"{user.name} is the only admin. Make somebody else one first.", code="only_admin", name=user.name
            )
        if role is not None and role != user.role:
            await _set(connection, user_id, role=role)
            await record(connection, name, "user.role", f"user {user.name}", role=role)
        if is_disabled is not None and is_disabled != (user.disabled_at is not None):
            await _set(connection, user_id, disabled_at=now() if is_disabled else None)
            await record(connection, name, "user.disable" if is_disabled else "user.enable", f"user {user.name}")
    database.accounts_changed()


async def user_by_id(connection: AsyncConnection, user_id: str) -> User:
    """Find somebody, inside a transaction of the caller's.

    Raises:
        NotFoundError: there is no such user.
    """
    row = (await connection.execute(users.select().where(users.c.id == user_id))).one_or_none()
    if row is None:
        raise NotFoundError("That user is not there any more. Load the list again.")
    return user_of_row(row)


async def _set(connection: AsyncConnection, user_id: str, **values: Any) -> None:
    await connection.execute(users.update().where(users.c.id == user_id).values(**values))


def _sum(column: sa.ColumnElement[Any], where: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    return sa.select(sa.func.coalesce(sa.func.sum(column), 0)).where(where).correlate(users).scalar_subquery()
