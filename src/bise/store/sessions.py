"""The browsers that somebody is signed in with: listed, ended by their owner, and given new secrets with age."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bise.errors import NotFoundError
from bise.store.accounts import SESSION_DAYS, is_session, sha256
from bise.store.database import Database
from bise.store.tables import now, sessions

RENEW_AFTER = timedelta(days=1)
_SEEN_EVERY = timedelta(minutes=5)


@dataclass(frozen=True)
class Session:
    """A browser that is signed in."""

    id: str
    agent: str  # how it calls itself
    created_at: datetime
    seen_at: datetime | None
    is_current: bool  # the one that asks


async def list_sessions(database: Database, user_id: str, token: str) -> tuple[Session, ...]:
    """Where a user is signed in, the latest seen first; `token` is the cookie of the browser that asks."""
    query = (
        sa.select(sessions, is_session(token).label("is_current"))
        .where(sessions.c.user_id == user_id, sessions.c.expires_at > now())
        .order_by(sa.func.coalesce(sessions.c.seen_at, sessions.c.created_at).desc())
    )
    async with database.read() as connection:
        rows = (await connection.execute(query)).all()
    return tuple(Session(row.id, row.agent, row.created_at, row.seen_at, bool(row.is_current)) for row in rows)


async def end_session(database: Database, user_id: str, session_id: str) -> None:
    """Sign a browser out.

    Raises:
        NotFoundError: it is not signed in, or is not that user's.
    """
    mine = (sessions.c.id == session_id) & (sessions.c.user_id == user_id)
    async with database.write() as connection:
        if not (await connection.execute(sessions.delete().where(mine))).rowcount:
            raise NotFoundError("That browser is not signed in any more. Load the list again.")


async def end_own_session(database: Database, token: str) -> None:
    """Sign the browser with this cookie out."""
    async with database.write() as connection:
        await connection.execute(sessions.delete().where(is_session(token)))


async def renew_session(database: Database, token: str) -> str | None:
    """Note that a browser was seen; a session older than a day gets a new secret, which is returned.

    A browser that comes with the secret from before gets none: another tab of it has the new one.
    """
    moment = now()
    mine = sessions.c.token_sha256 == sha256(token)
    async with database.read() as connection:
        row = (await connection.execute(sessions.select().where(mine))).one_or_none()
    if row is None:
        return None
    is_old = (row.renewed_at or row.created_at) < moment - RENEW_AFTER
    if not is_old and row.seen_at is not None and row.seen_at > moment - _SEEN_EVERY:
        return None
    fresh = secrets.token_urlsafe(32)
    renewed = {
        "token_sha256": sha256(fresh),
        "previous_sha256": sha256(token),
        "renewed_at": moment,
        "expires_at": moment + timedelta(days=SESSION_DAYS),
    }
    async with database.write() as connection:
        values = {"seen_at": moment} | (renewed if is_old else {})
        changed = await connection.execute(sessions.update().where(mine).values(**values))
    return fresh if is_old and changed.rowcount else None
