"""What users, projects and keys may use. All limits that apply to a request must hold."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bise.errors import InputError, NotFoundError
from bise.store.accounts import named_user
from bise.store.audit import COMMAND_LINE, Actor, name_of, record
from bise.store.database import Database
from bise.store.projects import named_project
from bise.store.tables import api_keys, limits, projects, users

Kind = Literal["user", "project", "key", "everybody"]


@dataclass(frozen=True)
class Limits:
    """None: without a limit."""

    requests_per_s: float | None = None
    tokens_per_min: int | None = None  # prompt and answer together, as are the others
    tokens_per_month: int | None = None  # of the calendar, UTC
    tokens_total: int | None = None  # a budget that does not come again
    parallel: int | None = None  # requests at the same time


@dataclass(frozen=True)
class Subject:
    """Whom limits are for; usage is counted for each subject by itself."""

    kind: Kind
    id: str
    name: str


@dataclass(frozen=True)
class Limited:
    """A subject with its limits; those of everybody bind each user without own ones alone."""

    subject: Subject
    limits: Limits


async def set_limits(
    database: Database, address: str, changes: dict[str, float | int | None], actor: Actor = COMMAND_LINE
) -> Limited:
    """Change some limits of `user:NAME`, `project:NAME`, `key:PREFIX` or `everybody`; None takes one away.

    Raises:
        NotFoundError: there is nobody of that name.
        InputError: the address is none, or a limit is not above 0.
    """
    wrong = [name for name, value in changes.items() if value is not None and value <= 0]
    if wrong:
        raise InputError(
            f"{wrong[0]} is {changes[wrong[0]]}, but a limit must be above 0. To shut out, disable or revoke."
        )
    async with database.write() as connection:
        subject = await _find(connection, address)
        where = (limits.c.kind == subject.kind) & (limits.c.subject_id == subject.id)
        before = (await connection.execute(limits.select().where(where))).one_or_none()
        changed = replace(_limits(before) if before is not None else Limits(), **changes)  # type: ignore[arg-type]
        await connection.execute(limits.delete().where(where))
        if changed != Limits():
            row = {"kind": subject.kind, "subject_id": subject.id, **asdict(changed)}
            await connection.execute(limits.insert().values(**row))
        await record(connection, actor, "limits.set", address, **changes)
    database.accounts_changed()
    return Limited(subject, changed)


async def list_limits(database: Database, actor: Actor = COMMAND_LINE) -> tuple[Limited, ...]:
    """All limits that were set, of those who are still there.

    Raises:
        RoleError: who asks may not.
    """
    names: list[tuple[Kind, sa.Table, Any]] = [
        ("user", users, users.c.name),
        ("project", projects, projects.c.name),
        ("key", api_keys, api_keys.c.prefix),
    ]
    async with database.read() as connection:
        await name_of(connection, actor)
        common = await connection.execute(limits.select().where(limits.c.kind == "everybody"))
        found = [Limited(Subject("everybody", "", "everybody"), _limits(row)) for row in common]
        for kind, table, name in names:
            query = sa.select(limits, name.label("name")).join(table, table.c.id == limits.c.subject_id)
            rows = await connection.execute(query.where(limits.c.kind == kind).order_by(name))
            found += [Limited(Subject(kind, row.subject_id, row.name), _limits(row)) for row in rows]
    return tuple(found)


async def limits_for(connection: AsyncConnection, subjects: tuple[Subject, ...]) -> tuple[Limited, ...]:
    """The limits that bind a request on behalf of all these subjects, inside a transaction of the caller's."""
    ids = {subject.id for subject in subjects} | {""}
    rows = (await connection.execute(limits.select().where(limits.c.subject_id.in_(ids)))).all()
    known = {(row.kind, row.subject_id): _limits(row) for row in rows}
    found = []
    for subject in subjects:
        own = known.get((subject.kind, subject.id))
        if own is None and subject.kind == "user":
            own = known.get(("everybody", ""))
        if own is not None:
            found.append(Limited(subject, own))
    return tuple(found)


async def _find(connection: AsyncConnection, address: str) -> Subject:
    kind, _, name = address.partition(":")
    match kind:
        case "everybody" if not name:
            return Subject("everybody", "", "everybody")
        case "user":
            return Subject("user", (await named_user(connection, name)).id, name)
        case "project":
            return Subject("project", await named_project(connection, name), name)
        case "key":
            found = await connection.scalar(sa.select(api_keys.c.id).where(api_keys.c.prefix == name))
            if found is None:
                raise NotFoundError(f"There is no key {name[:100]!r}. List them with: bise admin keys list")
            return Subject("key", found, name)
        case _:
            raise InputError(f"{address[:100]!r} is nobody. Write user:NAME, project:NAME, key:BEGINNING or everybody.")


def _limits(row: sa.Row[Any]) -> Limits:
    return Limits(**{field.name: getattr(row, field.name) for field in fields(Limits)})
