"""Read-only links: what is shown of a conversation at one moment, for whoever has the link.

The link's secret is 256 random bits, of which the database holds the SHA-256 only. What is shared stays as it was, and is gone when
the link is taken back, or the conversation is deleted. `open_share` alone asks for no owner: it tells nothing of the account.
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bise.errors import InputError, NotFoundError
from bise.store.accounts import User, sha256
from bise.store.audit import record
from bise.store.conversations import GENERATING, kept, owned_conversation
from bise.store.database import Database
from bise.store.tables import conversations, new_id, now, shares
from bise.store.turns import StoredMessage, read_shown


@dataclass(frozen=True)
class Share:
    """A link, as its owner sees it listed."""

    id: str
    conversation_id: str
    title: str
    created_at: datetime


@dataclass(frozen=True)
class SharedConversation:
    """What whoever has a link sees."""

    title: str
    created_at: datetime
    messages: tuple[dict[str, Any], ...]  # role, content, model, edited


async def create_share(database: Database, user: User, conversation_id: str) -> tuple[Share, str]:
    """Make a link to what is shown of a conversation now; returns it with its secret, which is not kept.

    Raises:
        NotFoundError: the user has no such conversation.
        InputError: there is nothing in it, or an answer is being written.
    """
    token = secrets.token_urlsafe(32)
    async with database.write() as connection:
        conversation = await owned_conversation(connection, user.id, conversation_id)
        said = await read_shown(connection, conversation_id)
        if not said or conversation.generating:
            raise InputError("There is nothing to share yet. Wait for the end of the answer.", code="nothing_to_share")
        share = Share(new_id(), conversation_id, conversation.title, now())
        text = json.dumps([_shared(message) for message in said], ensure_ascii=False)
        row = vars(share) | {"user_id": user.id, "token_sha256": sha256(token), "messages": text}
        await connection.execute(shares.insert().values(**row))
        await record(connection, user.name, "share.create", f"share {share.id}")
    return share, token


async def list_shares(database: Database, owner: str) -> tuple[Share, ...]:
    """The links of an owner that work, the newest first."""
    query = sa.select(shares).join(conversations, conversations.c.id == shares.c.conversation_id).where(kept(owner))
    async with database.read() as connection:
        rows = await connection.execute(query.order_by(shares.c.created_at.desc(), shares.c.id))
        return tuple(Share(row.id, row.conversation_id, row.title, row.created_at) for row in rows)


async def revoke_share(database: Database, user: User, share_id: str) -> None:
    """Take a link back; whoever has it finds nothing from now on.

    Raises:
        NotFoundError: the user has no such link.
    """
    async with database.write() as connection:
        where = (shares.c.id == share_id) & (shares.c.user_id == user.id)
        if not (await connection.execute(shares.delete().where(where))).rowcount:
            raise NotFoundError("There is no such link. It may have been taken back.")
        await record(connection, user.name, "share.revoke", f"share {share_id}")
    await database.clear_traces()


async def open_share(database: Database, token: str) -> SharedConversation:
    """What a link shows.

    Raises:
        NotFoundError: there is no such link, it was taken back, or its conversation is deleted.
    """
    query = (
        sa.select(shares)
        .join(conversations, conversations.c.id == shares.c.conversation_id)
        .where(shares.c.token_sha256 == sha256(token), conversations.c.deleted_at.is_(None))
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    if row is None:
        raise NotFoundError("This link shows nothing. It may have been taken back.", code="link_gone")
    return SharedConversation(row.title, row.created_at, tuple(json.loads(row.messages)))


def _shared(message: StoredMessage) -> dict[str, Any]:
    assert message.status != GENERATING
    return {
        "role": message.role,
        "content": message.text,
        "model": message.model,
        "edited": message.better is not None,
    }
