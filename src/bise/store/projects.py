"""Projects: what keys are made for, with members who may make them, and limits and usage of their own."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.accounts import check_name, named_user
from bise.store.audit import COMMAND_LINE, Actor, record
from bise.store.database import Database
from bise.store.tables import new_id, now, project_members, projects, users


@dataclass(frozen=True)
class Project:
    """A project and who is in it."""

    id: str
    name: str
    archived_at: datetime | None
    members: tuple[str, ...] = ()  # names


async def create_project(database: Database, name: str, actor: Actor = COMMAND_LINE) -> Project:
    """Make a project without members.

    Raises:
        InputError: the name is taken, empty or too long.
    """
    name = check_name(name)
    async with database.write() as connection:
        if await connection.scalar(sa.select(projects.c.id).where(projects.c.name == name)) is not None:
            raise InputError(f"There is a project {name} already. Choose another name.")
        project = Project(new_id(), name, None)
        await connection.execute(projects.insert().values(id=project.id, name=name, created_at=now()))
        await record(connection, actor, "project.add", f"project {name}")
    return project


async def list_projects(database: Database) -> tuple[Project, ...]:
    """All projects, by name, archived ones too."""
    async with database.read() as connection:
        rows = (await connection.execute(projects.select().order_by(projects.c.name))).all()
        query = sa.select(project_members.c.project_id, users.c.name).join(users).order_by(users.c.name)
        inside = (await connection.execute(query)).all()
    return tuple(
        Project(row.id, row.name, row.archived_at, tuple(m.name for m in inside if m.project_id == row.id))
        for row in rows
    )


async def archive_project(database: Database, name: str, archived: bool, actor: Actor = COMMAND_LINE) -> None:
    """Shut out all keys of a project, or let them in again.

    Raises:
        NotFoundError: there is no such project.
    """
    async with database.write() as connection:
        project_id = await named_project(connection, name)
        moment = now() if archived else None
        await connection.execute(projects.update().where(projects.c.id == project_id).values(archived_at=moment))
        await record(connection, actor, "project.archive" if archived else "project.revive", f"project {name}")
    database.accounts_changed()


async def change_member(
    database: Database, project: str, user: str, is_member: bool, actor: Actor = COMMAND_LINE
) -> None:
    """Take a user into a project, or out of it: keys that were made for it by then open nothing any more.

    Raises:
        NotFoundError: there is no such user or project.
    """
    async with database.write() as connection:
        row = {
            "project_id": await named_project(connection, project),
            "user_id": (await named_user(connection, user)).id,
        }
        await connection.execute(project_members.delete().filter_by(**row))
        if is_member:
            await connection.execute(project_members.insert().values(**row))
        action = "project.join" if is_member else "project.leave"
        await record(connection, actor, action, f"project {project}", user=user)
    database.accounts_changed()


async def named_project(connection: AsyncConnection, name: str) -> str:
    """Find a project's id, inside a transaction of the caller's.

    Raises:
        NotFoundError: there is none; the message lists those that there are.
    """
    found: str | None = await connection.scalar(sa.select(projects.c.id).where(projects.c.name == name))
    if found is None:
        names = await connection.scalars(sa.select(projects.c.name).order_by(projects.c.name))
        raise NotFoundError(f"There is no project {name[:100]!r}. The projects are: {', '.join(names) or 'none'}.")
    return found
