"""Accounts of other providers (OpenID Connect) that open an account here: known by issuer and subject, by nothing else.

A name or an address that agrees links nothing: at most providers people choose both themselves.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.accounts import LOCAL_OWNER, MAX_NAME_CHARS, Role, User, add_user, printable, user_of_row
from bise.store.audit import record
from bise.store.database import Database
from bise.store.signing_up import spend_invitation
from bise.store.tables import identities, now, users

MAX_CHARS = 300


@dataclass(frozen=True)
class Identity:
    """Who somebody is at a provider."""

    issuer: str
    subject: str


async def user_of_identity(database: Database, identity: Identity) -> User | None:
    """Whose account here an identity opens, also when it is disabled."""
    query = sa.select(users).join(identities, identities.c.user_id == users.c.id).where(_is(identity))
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
    return None if row is None else user_of_row(row)


async def list_identities(database: Database, user_id: str) -> tuple[Identity, ...]:
    """The identities that open a user's account."""
    query = identities.select().where(identities.c.user_id == user_id).order_by(identities.c.created_at)
    async with database.read() as connection:
        return tuple(Identity(row.issuer, row.subject) for row in await connection.execute(query))


async def link_identity(database: Database, user: User, identity: Identity) -> None:
    """Let an identity open a user's account; doing it twice is no error.

    Raises:
        InputError: it opens somebody else's.
    """
    async with database.write() as connection:
        found = await connection.scalar(sa.select(identities.c.user_id).where(_is(identity)))
        if found is None:
            await _add(connection, user, identity)
        elif found != user.id:
            message = "That account opens somebody else's account here, so it cannot open yours as well."
            raise InputError(message, code="identity_taken")


async def unlink_identities(database: Database, user: User, issuer: str) -> None:
    """Let a user's identities at a provider open nothing any more.

    Raises:
        NotFoundError: there are none.
        InputError: the user could then come in no more.
    """
    mine = identities.c.user_id == user.id
    async with database.write() as connection:
        gone = await connection.execute(identities.delete().where(mine, identities.c.issuer == issuer))
        if not gone.rowcount:
            raise NotFoundError("That account opens nothing here. Load the list again.")
        left = await connection.scalar(sa.select(sa.func.count()).select_from(identities).where(mine))
        password = await connection.scalar(sa.select(users.c.password_hash).where(users.c.id == user.id))
        if not left and password is None:
            raise InputError("It is the only way into your account. Set a password first.", code="only_way_in")
        await record(connection, user.name, "user.unlink", f"user {user.name}", issuer=issuer)


async def sign_up_by_identity(database: Database, identity: Identity, wish: str, invitation: str = "") -> User:
    """Make an account that an identity opens, called as near to a wish as can be.

    Raises:
        InputError: the invitation is not valid.
    """
    async with database.write() as connection:
        role: Role = await spend_invitation(connection, invitation) if invitation else "user"
        user = await add_user(connection, await _free_name(connection, wish), role, identity.issuer)
        await _add(connection, user, identity)
    return user


async def _add(connection: AsyncConnection, user: User, identity: Identity) -> None:
    row = {"issuer": identity.issuer, "subject": identity.subject, "user_id": user.id, "created_at": now()}
    await connection.execute(identities.insert().values(**row))
    await record(connection, user.name, "user.identity", f"user {user.name}", issuer=identity.issuer)


async def _free_name(connection: AsyncConnection, wish: str) -> str:
    stem = printable(wish, MAX_NAME_CHARS - 10).strip() or "user"
    taken = set(await connection.scalars(sa.select(users.c.name))) | {LOCAL_OWNER}
    names = (stem, *(f"{stem} {number}" for number in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken and name.casefold() != LOCAL_OWNER)


def _is(identity: Identity) -> sa.ColumnElement[bool]:
    return (identities.c.issuer == identity.issuer) & (identities.c.subject == identity.subject)
