"""`bise admin keys`."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from bise.cli.database import with_database

if TYPE_CHECKING:
    from bise.store.database import Database
    from bise.store.keys import ApiKey


@click.group("keys", invoke_without_command=True, short_help="Make, list and revoke keys of programs.")
@click.option("--name", default="key", show_default=True, help="What the key is for.")
@click.option("--user", default=None, help="Whose it is; without it, the owner of this machine.")
@click.option("--project", default=None, help="The project that it works for; its user must be in it.")
@click.option("--scope", "scopes", multiple=True, help="inference, embeddings or metrics; without it, the first two.")
@click.option("--model", "models", multiple=True, help="A model that it may ask; without it, all.")
@click.option("--days", type=click.IntRange(1, 36_500), default=None, help="When it ends; without it, never.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def keys(
    ctx: click.Context,
    name: str,
    user: str | None,
    project: str | None,
    scopes: Sequence[str],
    models: Sequence[str],
    days: int | None,
    as_json: bool,
) -> None:
    """Make a key for a program and print it; subcommands list and revoke keys."""
    if ctx.invoked_subcommand is not None:
        return
    from bise.store.accounts import find_user, local_owner
    from bise.store.keys import USUAL_SCOPES, Grant, create_key
    from bise.store.tables import now

    end = now() + timedelta(days=days) if days is not None else None
    grant = Grant(project, scopes or USUAL_SCOPES, models or None, end)

    async def make(database: "Database") -> "tuple[ApiKey, str]":
        owner = await local_owner(database) if user is None else await find_user(database, user)
        return await create_key(database, owner, name, grant)

    key, text = with_database(make)
    if as_json:
        click.echo(json.dumps({"key": text, **_facts(key)}))
        return
    click.echo("It is shown this once. Give it to the program as its API key:", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_command(as_json: bool) -> None:
    """Every key, oldest first, by the beginning that may be shown."""
    from bise.store.keys import list_keys

    found = with_database(list_keys)
    if as_json:
        click.echo(json.dumps([_facts(key) for key in found]))
        return
    for key in found:
        end = f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "valid"
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else end
        whose = f"{key.user}/{key.project}" if key.project else key.user
        opens = ",".join(key.scopes) + (f" of {','.join(key.models)}" if key.models else "")
        click.echo(f"{key.prefix}  {key.created_at:%Y-%m-%d}  {state:18}  {whose:16}  {key.name}  ({opens})")
    if not found:
        click.echo("There is no key yet. Make one with: bise admin keys", err=True)


@keys.command("revoke")
@click.argument("prefix")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def revoke_command(prefix: str, as_json: bool) -> None:
    """Shut a key out; PREFIX is its beginning as the list shows it. A running server follows within two seconds."""
    from bise.store.keys import revoke_key

    key = with_database(lambda database: revoke_key(database, None, prefix))
    click.echo(json.dumps(_facts(key)) if as_json else f"Revoked {key.prefix} ({key.name}).")


def _facts(key: "ApiKey") -> dict[str, Any]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "user": key.user,
        "project": key.project,
        "scopes": list(key.scopes),
        "models": list(key.models) if key.models else None,
        "created_at": key.created_at.isoformat(),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
