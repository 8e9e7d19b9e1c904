"""Who may administer: looked up anew in the transaction of what is done, whatever a session said before."""

from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError
from bise.store.accounts import LOCAL_OWNER, User
from bise.store.audit import COMMAND_LINE
from bise.store.tables import users


class RoleError(InputError):
    """Somebody asked for what only an admin may do."""


async def acting_admin(connection: AsyncConnection, admin: User | None) -> str:
    """The name to write down for an admin who does something; None: whoever may run commands on the server's machine.

    Raises:
        RoleError: they are no admin, or not any more.
    """
    if admin is None:
        return COMMAND_LINE
    active = (users.c.role == "admin") & users.c.disabled_at.is_(None)
    row = (await connection.execute(users.select().where(users.c.id == admin.id, active))).one_or_none()
    if row is None:
        raise RoleError("This is for admins. Ask the operator of this server to do it.")
    return str(row.name)


async def has_admin(connection: AsyncConnection, *, besides: str = "") -> bool:
    """Whether somebody with an account answers for the server, besides the one with an id; the local owner does not."""
    active = (users.c.role == "admin") & users.c.disabled_at.is_(None)
    others = (users.c.name != LOCAL_OWNER) & (users.c.id != besides)
    return (await connection.execute(users.select().where(active, others).limit(1))).one_or_none() is not None
