"""What is kept of an owner's, in numbers, and erasing all that they said, with a receipt.

The receipt says what was erased, never what it said; its hash is in the log of what was done, so that both can be compared.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.store.accounts import User
from bise.store.audit import record
from bise.store.database import Database
from bise.store.search import compact_index
from bise.store.tables import (
    api_keys,
    better_answers,
    conversations,
    folders,
    identities,
    messages,
    metadata,
    now,
    preferences,
    ratings,
    sessions,
    shares,
    users,
)

# Of what has an owner, that which stays when all is erased: who somebody is, how they come in, what they used.
_STAY = frozenset({"passwords", "sessions", "sign_in_links", "identities", "api_keys", "project_members", "usage"})
_COUNTED = (ratings, better_answers, preferences, folders, shares, api_keys, sessions, identities)


@dataclass(frozen=True)
class Holdings:
    """How much is kept of an owner's; what is deleted and not gone yet is counted by itself."""

    conversations: int
    deleted_conversations: int
    messages: int
    text_bytes: int  # of messages, in UTF-8
    ratings: int
    better_answers: int
    preferences: int
    folders: int
    shares: int
    api_keys: int
    sessions: int
    identities: int  # accounts of other providers that open this one
    passwords: int  # 0 or 1, as a hash


@dataclass(frozen=True)
class Receipt:
    """What was erased, of whom and when; `sha256` is that of the rest as JSON with sorted keys and no spaces."""

    user: str
    erased_at: datetime
    erased: Mapping[str, int]
    adapters: Sequence[str]  # that learned from what was said, and stay
    sha256: str = ""

    def as_record(self) -> dict[str, Any]:
        """Write it as one JSON object, without its hash."""
        return {
            "receipt": "bise-erasure",
            "version": 1,
            "user": self.user,
            "erased_at": self.erased_at.isoformat(timespec="seconds"),
            "erased": dict(self.erased),
            "adapters": list(self.adapters),
        }


async def count_holdings(database: Database, owner: str) -> Holdings:
    """Count what is kept of an owner's."""
    async with database.read() as connection:
        return await _count(connection, owner)


async def erase_everything(
    database: Database, user: User, num_learning_runs: int = 0, adapters: Sequence[str] = ()
) -> Receipt:
    """Erase all that a user said and thought of answers, deleted conversations too; account, ways in and keys stay.

    The receipt also tells of what is no database's: runs whose copies were deleted before, and adapters that stay.
    """
    async with database.write() as connection:
        before = asdict(await _count(connection, user.id))
        erased = {name: count for name, count in before.items() if name not in _STAY}
        erased["learning_runs"] = num_learning_runs
        for table in reversed(metadata.sorted_tables):
            if "user_id" in table.c and table.name not in _STAY:
                await connection.execute(table.delete().where(table.c.user_id == user.id))
        await compact_index(connection)
        receipt = _signed(Receipt(user.name, now().replace(microsecond=0), erased, tuple(adapters)))
        await record(connection, user.name, "data.erase", f"user {user.name}", receipt_sha256=receipt.sha256, **erased)
    await database.clear_traces(rewrite=True)
    return receipt


def _signed(receipt: Receipt) -> Receipt:
    text = json.dumps(receipt.as_record(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return replace(receipt, sha256=hashlib.sha256(text.encode()).hexdigest())


async def _count(connection: AsyncConnection, owner: str) -> Holdings:
    def rows(table: sa.Table) -> Any:
        return sa.select(sa.func.count()).select_from(table).where(table.c.user_id == owner).scalar_subquery()

    deleted = conversations.c.deleted_at.is_not(None)
    of_owner = sa.select(conversations.c.id).where(conversations.c.user_id == owner)
    said = messages.c.conversation_id.in_(of_owner)
    size: Any = sa.func.octet_length(messages.c.content)
    if connection.dialect.name == "sqlite":  # before 3.43 it counts bytes of blobs only
        size = sa.func.length(sa.cast(messages.c.content, sa.LargeBinary))
    query = sa.select(
        rows(conversations).label("all_conversations"),
        sa.select(sa.func.count()).where(conversations.c.user_id == owner, deleted).scalar_subquery().label("deleted"),
        sa.select(sa.func.count()).where(said).scalar_subquery().label("messages"),
        sa.select(sa.func.coalesce(sa.func.sum(size), 0)).where(said).scalar_subquery().label("text_bytes"),
        sa.select(sa.func.count(users.c.password_hash)).where(users.c.id == owner).scalar_subquery().label("passwords"),
        *(rows(table).label(table.name) for table in _COUNTED),
    )
    found = (await connection.execute(query)).one()
    return Holdings(
        conversations=found.all_conversations - found.deleted,
        deleted_conversations=found.deleted,
        messages=found.messages,
        text_bytes=int(found.text_bytes),
        passwords=found.passwords,
        **{table.name: getattr(found, table.name) for table in _COUNTED},
    )
