"""The log of what operators did: it can only grow, and is written in the transaction of what it tells."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from bise.store.database import Database
from bise.store.tables import audit, new_id, now

COMMAND_LINE = "the command line"  # whoever may run commands on the server's machine


@dataclass(frozen=True)
class AuditEntry:
    """One thing that was done."""

    at: datetime
    actor: str
    action: str  # for example "key.revoke"
    subject: str  # for example "key bise_0123456789"
    details: Mapping[str, Any]


async def record(connection: AsyncConnection, actor: str, action: str, subject: str, **details: object) -> None:
    """Write an entry, inside the transaction of what was done."""
    row = {"id": new_id(), "at": now(), "actor": actor[:150], "action": action, "subject": subject[:250]}
    await connection.execute(audit.insert().values(**row, details=details))


async def list_audit(database: Database, max_entries: int) -> tuple[AuditEntry, ...]:
    """The latest entries, oldest first."""
    query = audit.select().order_by(audit.c.at.desc(), audit.c.id).limit(max_entries)
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return tuple(AuditEntry(row.at, row.actor, row.action, row.subject, row.details) for row in reversed(rows))
