"""Keys of programs that call the API: what they open, for whom, and how they are shown.

A key is 256 random bits, shown once. The database holds a beginning that may be shown, and the SHA-256 of the whole.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from bise.errors import InputError, NotFoundError
from bise.store.accounts import User, check_name, sha256
from bise.store.audit import COMMAND_LINE, Actor, record
from bise.store.database import Database
from bise.store.limits import Limited, Subject, limits_for
from bise.store.projects import named_project
from bise.store.tables import api_keys, new_id, now, project_members, projects, users

Scope = Literal["inference", "embeddings", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
USUAL_SCOPES: tuple[Scope, ...] = ("inference", "embeddings")
_KEY_START = "bise"


@dataclass(frozen=True)
class ApiKey:
    """What may be shown of a key after its making: never its secret."""

    id: str
    name: str
    prefix: str
    created_at: datetime
    revoked_at: datetime | None = None
    user: str = ""  # name
    project: str | None = None  # name
    scopes: tuple[Scope, ...] = USUAL_SCOPES
    models: tuple[str, ...] | None = None  # None: all
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Grant:
    """What a new key may do."""

    project: str | None = None
    scopes: Sequence[str] = USUAL_SCOPES
    models: Sequence[str] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True)
class Caller:
    """On whose behalf a request comes, and what binds it; without a key it comes from the chat."""

    user_id: str
    scopes: frozenset[str] = frozenset(USUAL_SCOPES)
    models: frozenset[str] | None = None  # None: all
    limits: tuple[Limited, ...] = ()
    project_id: str = ""
    key_id: str = ""
    key_prefix: str = ""
    expires_at: datetime | None = None


EVERYTHING = Grant()


async def create_key(
    database: Database, user: User, name: str, grant: Grant = EVERYTHING, actor: Actor = COMMAND_LINE
) -> tuple[ApiKey, str]:
    """Make a key for a program; the second value is the key itself, which is never shown again.

    Raises:
        InputError: the name is none, a scope is unknown, the end has passed, or the user is not in the project.
        NotFoundError: there is no such project.
    """
    _check(grant)
    scopes: tuple[Scope, ...] = tuple(scope for scope in SCOPES if scope in grant.scopes)
    models = tuple(grant.models) if grant.models else None
    prefix = f"{_KEY_START}_{secrets.token_hex(5)}"
    key = ApiKey(
        new_id(), check_name(name), prefix, now(), None, user.name, grant.project, scopes, models, grant.expires_at
    )
    text = f"{prefix}_{secrets.token_urlsafe(32)}"
    async with database.write() as connection:
        project_id = None
        if grant.project is not None:
            project_id = await named_project(connection, grant.project)
            inside = sa.select(project_members).filter_by(project_id=project_id, user_id=user.id)
            if (await connection.execute(inside)).one_or_none() is None:
                raise InputError(
                    f"{user.name} is not in the project {grant.project}. "
                    f"Type: bise admin projects join {grant.project} {user.name}"
                )
        await connection.execute(
            api_keys.insert().values(
                id=key.id,
                user_id=user.id,
                project_id=project_id,
                name=key.name,
                prefix=prefix,
                secret_sha256=sha256(text),
                created_at=key.created_at,
                scopes=list(scopes),
                models=list(models) if models else None,
                expires_at=grant.expires_at,
            )
        )
        await record(connection, actor, "key.add", f"key {prefix}", user=user.name, project=grant.project)
    return key, text


async def caller_of_key(database: Database, text: str) -> Caller | None:
    """Find on whose behalf a program comes with this key, or None when it opens nothing (any more)."""
    if not text.isascii() or "\0" in text:
        return None
    prefix = "_".join(text.split("_", 2)[:2])
    query = (
        sa.select(api_keys, projects.c.archived_at, project_members.c.user_id.label("member"))
        .join(users, users.c.id == api_keys.c.user_id)
        .outerjoin(projects, projects.c.id == api_keys.c.project_id)
        .outerjoin(
            project_members,
            (project_members.c.project_id == api_keys.c.project_id) & (project_members.c.user_id == api_keys.c.user_id),
        )
        .where(api_keys.c.prefix == prefix, api_keys.c.revoked_at.is_(None), users.c.disabled_at.is_(None))
    )
    async with database.read() as connection:
        row = (await connection.execute(query)).one_or_none()
        known = row.secret_sha256 if row is not None else sha256("")
        matches = hmac.compare_digest(known, sha256(text))
        if row is None or not matches or not _is_valid(row):
            return None
        subjects = [Subject("user", row.user_id, ""), Subject("key", row.id, row.prefix)]
        if row.project_id is not None:
            subjects.append(Subject("project", row.project_id, ""))
        bounds = await limits_for(connection, tuple(subjects))
    return Caller(
        user_id=row.user_id,
        scopes=frozenset(row.scopes),
        models=frozenset(row.models) if row.models else None,
        limits=bounds,
        project_id=row.project_id or "",
        key_id=row.id,
        key_prefix=row.prefix,
        expires_at=row.expires_at,
    )


async def caller_of_user(database: Database, user_id: str) -> Caller:
    """What binds the requests that a user makes without a key, in the chat."""
    async with database.read() as connection:
        return Caller(user_id, limits=await limits_for(connection, (Subject("user", user_id, ""),)))


async def list_keys(database: Database, user: User | None = None) -> tuple[ApiKey, ...]:
    """All keys of a user, or of all, oldest first, revoked ones too."""
    query = (
        sa.select(api_keys, users.c.name.label("user"), projects.c.name.label("project"))
        .join(users, users.c.id == api_keys.c.user_id)
        .outerjoin(projects, projects.c.id == api_keys.c.project_id)
        .order_by(api_keys.c.created_at, api_keys.c.id)
    )
    if user is not None:
        query = query.where(api_keys.c.user_id == user.id)
    async with database.read() as connection:
        return tuple(_key(row) for row in await connection.execute(query))


async def revoke_key(database: Database, user: User | None, prefix: str, actor: Actor = COMMAND_LINE) -> ApiKey:
    """Shut out a key of a user, or of anybody, from now on; revoking twice is no error.

    Raises:
        NotFoundError: there is no key with that prefix, or it is not that user's.
    """
    where = api_keys.c.prefix == prefix
    if user is not None:
        where &= api_keys.c.user_id == user.id
    async with database.write() as connection:
        changed = await connection.execute(
            api_keys.update().where(where, api_keys.c.revoked_at.is_(None)).values(revoked_at=now())
        )
        if changed.rowcount:
            await record(connection, actor, "key.revoke", f"key {prefix}")
    database.accounts_changed()
    keys = await list_keys(database, user)
    found = next((key for key in keys if key.prefix == prefix), None)
    if found is None:
        raise NotFoundError(
            f"There is no key {prefix[:100]}. The keys are: {', '.join(key.prefix for key in keys) or 'none'}."
        )
    return found


def _check(grant: Grant) -> None:
    unknown = sorted(set(grant.scopes) - set(SCOPES))
    if unknown or not grant.scopes:
        raise InputError(f"{', '.join(unknown) or 'Nothing'} is no scope. The scopes are: {', '.join(SCOPES)}.")
    if grant.expires_at is not None and grant.expires_at <= now():
        raise InputError(f"The key would end at {grant.expires_at:%Y-%m-%d %H:%M} UTC, which has passed.")


def _is_valid(row: sa.Row[Any]) -> bool:
    """A key for a project wants its user in it, and the project alive."""
    if row.expires_at is not None and row.expires_at <= now():
        return False
    return row.project_id is None or (row.archived_at is None and row.member is not None)


def _key(row: sa.Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        user=row.user,
        project=row.project,
        scopes=tuple(row.scopes),
        models=tuple(row.models) if row.models else None,
        expires_at=row.expires_at,
    )
