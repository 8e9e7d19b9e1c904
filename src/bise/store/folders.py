"""Folders for conversations, with instructions for whoever answers there; the chat calls them projects. And pins.

(`projects.py` has the projects of the API, which share keys and budgets.) Every function takes the id of the owner, and
what belongs to somebody else does not exist for it.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.conversations import owned_conversation
from bise.store.database import Database
from bise.store.tables import conversations, folders, new_id, now

MAX_FOLDERS = 200  # of one owner
MAX_NAME_CHARS = 100
MAX_INSTRUCTIONS_CHARS = 8000


@dataclass(frozen=True)
class Folder:
    """A folder; its instructions are sent before what is said in its conversations."""

    id: str
    name: str
    instructions: str


async def create_folder(database: Database, owner: str, name: str, instructions: str) -> Folder:
    """Make an empty folder.

    Raises:
        InputError: the owner has as many as may be.
    """
    folder = Folder(new_id(), " ".join(name.split()), instructions.strip())
    async with database.write() as connection:
        mine = sa.select(sa.func.count()).select_from(folders).where(folders.c.user_id == owner)
        if (await connection.scalar(mine) or 0) >= MAX_FOLDERS:
            message = f"There are {MAX_FOLDERS} projects already, as many as may be. Delete one first."
            raise InputError(message, code="too_many_projects", max=MAX_FOLDERS)
        await connection.execute(folders.insert().values(**vars(folder), user_id=owner, created_at=now()))
    return folder


async def list_folders(database: Database, owner: str) -> tuple[Folder, ...]:
    """All folders of an owner, by name."""
    query = sa.select(folders).where(folders.c.user_id == owner)
    async with database.read() as connection:
        rows = await connection.execute(query)
        found = [Folder(row.id, row.name, row.instructions) for row in rows]
    return tuple(sorted(found, key=lambda folder: (folder.name.casefold(), folder.id)))


async def change_folder(database: Database, owner: str, folder_id: str, name: str, instructions: str) -> Folder:
    """Give a folder another name and other instructions: the next answers follow them.

    Raises:
        NotFoundError: the owner has no such folder.
    """
    folder = Folder(folder_id, " ".join(name.split()), instructions.strip())
    async with database.write() as connection:
        await _check_owned(connection, owner, folder_id)
        await connection.execute(folders.update().where(folders.c.id == folder_id).values(**vars(folder)))
    return folder


async def delete_folder(database: Database, owner: str, folder_id: str) -> None:
    """Delete a folder; its conversations stay, in none.

    Raises:
        NotFoundError: the owner has no such folder.
    """
    async with database.write() as connection:
        await _check_owned(connection, owner, folder_id)
        inside = conversations.c.folder_id == folder_id
        await connection.execute(conversations.update().where(inside).values(folder_id=None))
        await connection.execute(folders.delete().where(folders.c.id == folder_id))


async def file_conversation(database: Database, owner: str, conversation_id: str, folder_id: str | None) -> None:
    """Put a conversation into a folder, or with None out of the one that it is in.

    Raises:
        NotFoundError: the owner has no such conversation, or no such folder.
    """
    async with database.write() as connection:
        await owned_conversation(connection, owner, conversation_id)
        if folder_id is not None:
            await _check_owned(connection, owner, folder_id)
        where = conversations.c.id == conversation_id
        await connection.execute(conversations.update().where(where).values(folder_id=folder_id))


async def pin_conversation(database: Database, owner: str, conversation_id: str, pinned: bool) -> None:
    """Keep a conversation at the top of the list, or no longer.

    Raises:
        NotFoundError: the owner has no such conversation.
    """
    async with database.write() as connection:
        await owned_conversation(connection, owner, conversation_id)
        where = conversations.c.id == conversation_id
        await connection.execute(conversations.update().where(where).values(pinned_at=now() if pinned else None))


async def _check_owned(connection: AsyncConnection, owner: str, folder_id: str) -> None:
    found = sa.select(folders.c.id).where(folders.c.id == folder_id, folders.c.user_id == owner)
    if await connection.scalar(found) is None:
        raise NotFoundError("There is no such project. It may have been deleted.")
