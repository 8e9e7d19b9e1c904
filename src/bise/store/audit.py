"""The log of what operators did: it can only grow, and is written in the transaction of what it tells.

So the writing is also where an admin's right is looked up: whoever acts as one and is none, or not any more, undoes by that
what they were about to do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError
from bise.store.database import Database
from bise.store.tables import audit, new_id, now, users

COMMAND_LINE = "the command line"  # whoever may run commands on the server's machine


@dataclass(frozen=True)
class ActingAdmin:
    """A user by whose role as an admin something is done."""

    id: str


Actor = str | ActingAdmin


class RoleError(InputError):
    """Somebody asked for what only an admin may do."""


@dataclass(frozen=True)
class AuditEntry:
    """One thing that was done."""

    at: datetime
    actor: str
    action: str  # for example "key.revoke"
    subject: str  # for example "key bise_0123456789"
    details: Mapping[str, Any]


async def name_of(connection: AsyncConnection, actor: Actor) -> str:
    """What an actor is called in the log.

    Raises:
        RoleError: they act as an admin, and are none or not any more.
    """
    if isinstance(actor, str):
        return actor
    active = (users.c.role == "admin") & users.c.disabled_at.is_(None)
    name = await connection.scalar(sa.select(users.c.name).where(users.c.id == actor.id, active))
    if name is None:
        raise RoleError("This is for admins. Ask the operator of this server to do it.", code="role")
    return str(name)


async def record(connection: AsyncConnection, actor: Actor, action: str, subject: str, **details: object) -> None:
    """Write an entry, inside the transaction of what was done.

    Raises:
        RoleError: whoever did it may not.
    """
    name = await name_of(connection, actor)
    row = {"id": new_id(), "at": now(), "actor": name[:150], "action": action, "subject": subject[:250]}
    await connection.execute(audit.insert().values(**row, details=details))


async def note(database: Database, actor: Actor, action: str, subject: str, **details: object) -> None:
    """Write down what is done elsewhere than in the database, before it is done; raises what `record` raises."""
    async with database.write() as connection:
        await record(connection, actor, action, subject, **details)


async def list_audit(
    database: Database, max_entries: int, words: str = "", actor: Actor = COMMAND_LINE
) -> tuple[AuditEntry, ...]:
    """The latest entries, oldest first, that have some words in whom, what or whose.

    Raises:
        RoleError: who asks may not.
    """
    columns = (audit.c.actor, audit.c.action, audit.c.subject)
    has_words = sa.or_(*(column.icontains(words, autoescape=True) for column in columns))
    query = audit.select().where(has_words).order_by(audit.c.at.desc(), audit.c.id).limit(max_entries)
    async with database.read() as connection:
        await name_of(connection, actor)
        rows = (await connection.execute(query)).all()
    return tuple(AuditEntry(row.at, row.actor, row.action, row.subject, row.details) for row in reversed(rows))
