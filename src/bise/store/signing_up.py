"""How accounts begin: the first admin's, by invitation, or by anybody where sign-up is open."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.accounts import LOCAL_OWNER, Role, User, add_user, sha256
from bise.store.administration import has_admin
from bise.store.audit import COMMAND_LINE, Actor, name_of, record
from bise.store.database import Database
from bise.store.passwords import write_password
from bise.store.tables import invitations, new_id, now

MAX_DAYS = 90
MAX_USES = 1000


@dataclass(frozen=True)
class Invitation:
    """What may be shown of an invitation after its making: never its secret."""

    id: str
    role: Role
    created_at: datetime
    expires_at: datetime
    uses_left: int


async def create_first_admin(database: Database, name: str, hashed: str) -> User:
    """Make the account of the one who answers for a server that had none.

    Raises:
        InputError: there is an admin already, or the name is none.
    """
    async with database.write() as connection:
        if await has_admin(connection):
            raise InputError("There is an admin already. Sign in, or ask them for an invitation.", code="admin_exists")
        user = await _add(connection, name, "admin", "the first-run page")
        await write_password(connection, user, hashed)
    database.accounts_changed()
    return user


async def sign_up(database: Database, name: str, hashed: str, invitation: str) -> User:
    """Make an account with a password, by an invitation's secret; empty: where anybody may come.

    Raises:
        InputError: the invitation is not valid, or the name is taken or none; then it is not used up.
    """
    async with database.write() as connection:
        role = await spend_invitation(connection, invitation) if invitation else "user"
        user = await _add(connection, name, role, "an invitation" if invitation else "sign-up")
        await write_password(connection, user, hashed)
    return user


async def create_invitation(
    database: Database, actor: Actor = COMMAND_LINE, role: Role = "user", days: int = 7, uses: int = 1
) -> tuple[Invitation, str]:
    """Invite people who have no account; the second value is the secret for the address, which is never shown again.

    Raises:
        InputError: the number of days or uses is out of range.
        RoleError: who asks may not.
    """
    if not 1 <= days <= MAX_DAYS or not 1 <= uses <= MAX_USES:
        raise InputError(f"An invitation lasts 1 to {MAX_DAYS} days and lets 1 to {MAX_USES} people in.")
    token, moment = secrets.token_urlsafe(32), now()
    invitation = Invitation(new_id(), role, moment, moment + timedelta(days=days), uses)
    async with database.write() as connection:
        await connection.execute(invitations.delete().where(_is_over()))
        await connection.execute(invitations.insert().values(token_sha256=sha256(token), **vars(invitation)))
        subject = f"invitation {invitation.id[:8]}"
        await record(connection, actor, "invitation.add", subject, role=role, days=days, uses=uses)
    return invitation, token


async def list_invitations(database: Database, actor: Actor = COMMAND_LINE) -> tuple[Invitation, ...]:
    """Those that still let somebody in, the latest first.

    Raises:
        RoleError: who asks may not.
    """
    query = invitations.select().where(~_is_over()).order_by(invitations.c.created_at.desc())
    async with database.read() as connection:
        await name_of(connection, actor)
        rows = (await connection.execute(query)).all()
    return tuple(Invitation(row.id, row.role, row.created_at, row.expires_at, row.uses_left) for row in rows)


async def withdraw_invitation(database: Database, actor: Actor, invitation_id: str) -> None:
    """Let nobody in by an invitation any more.

    Raises:
        NotFoundError: there is none of that id.
        RoleError: who asks may not.
    """
    async with database.write() as connection:
        gone = await connection.execute(invitations.delete().where(invitations.c.id == invitation_id))
        if not gone.rowcount:
            raise NotFoundError("That invitation is not there any more. Load the list again.")
        await record(connection, actor, "invitation.withdraw", f"invitation {invitation_id[:8]}")


async def spend_invitation(connection: AsyncConnection, token: str) -> Role:
    """Use an invitation once, inside a transaction of the caller's; returns what whoever comes will be.

    Raises:
        InputError: it is unknown, used up, or has ended.
    """
    where = (invitations.c.token_sha256 == sha256(token)) & ~_is_over()
    row = (await connection.execute(invitations.select().where(where))).one_or_none()
    if row is None:
        message = "This invitation is not valid: it was used, has ended or was withdrawn. Ask for another one."
        raise InputError(message, code="invitation_over")
    used = invitations.update().where(invitations.c.id == row.id).values(uses_left=row.uses_left - 1)
    await connection.execute(used)
    role: Role = row.role
    return role


async def _add(connection: AsyncConnection, name: str, role: Role, actor: str) -> User:
    """Whoever is called like the owner of this machine would be it, once the server listens on loopback again."""
    if name.strip().casefold() == LOCAL_OWNER:
        message = f"Nobody can be called {LOCAL_OWNER} here. Choose another name."
        raise InputError(message, code="name_reserved", name=LOCAL_OWNER)
    return await add_user(connection, name, role, actor)


def _is_over() -> sa.ColumnElement[bool]:
    return (invitations.c.expires_at <= now()) | (invitations.c.uses_left < 1)
