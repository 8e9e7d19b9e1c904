"""`bise admin`: the keys of programs that call the API; copies of the database."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import click

from bise.cli.backup import backup, restore
from bise.cli.database import with_database

if TYPE_CHECKING:
    from bise.store.accounts import ApiKey, User
    from bise.store.database import Database

Result = TypeVar("Result")


@click.group("admin")
def command() -> None:
    """Look after this server."""


command.add_command(backup)
command.add_command(restore)


@command.group("keys", invoke_without_command=True)
@click.option("--name", default="key", show_default=True, help="What the key is for.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.pass_context
def keys(ctx: click.Context, name: str, as_json: bool) -> None:
    """Make a key for a program and print it; subcommands list and revoke keys."""
    if ctx.invoked_subcommand is not None:
        return
    from bise.store.accounts import create_key

    key, text = _as_owner(lambda database, owner: create_key(database, owner, name))
    if as_json:
        click.echo(json.dumps({"key": text, **_facts(key)}))
        return
    click.echo("It is shown this once. Give it to the program as its API key:", err=True)
    click.echo(text)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_command(as_json: bool) -> None:
    """Every key, oldest first, by the beginning that may be shown."""
    from bise.store.accounts import list_keys

    found = _as_owner(list_keys)
    if as_json:
        click.echo(json.dumps([_facts(key) for key in found]))
        return
    for key in found:
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "valid"
        click.echo(f"{key.prefix}  {key.created_at:%Y-%m-%d}  {state:18}  {key.name}")
    if not found:
        click.echo("There is no key yet. Make one with: bise admin keys", err=True)


@keys.command("revoke")
@click.argument("prefix")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def revoke_command(prefix: str, as_json: bool) -> None:
    """Shut a key out from now on; PREFIX is its beginning as the list shows it."""
    from bise.store.accounts import revoke_key

    key = _as_owner(lambda database, owner: revoke_key(database, owner, prefix))
    click.echo(json.dumps(_facts(key)) if as_json else f"Revoked {key.prefix} ({key.name}).")


def _as_owner(action: "Callable[[Database, User], Awaitable[Result]]") -> Result:
    from bise.store.accounts import local_owner

    async def act(database: "Database") -> Result:
        return await action(database, await local_owner(database))

    return with_database(act)


def _facts(key: "ApiKey") -> dict[str, str | None]:
    return {
        "prefix": key.prefix,
        "name": key.name,
        "created_at": key.created_at.isoformat(),
        "revoked_at": key.revoked_at.isoformat() if key.revoked_at else None,
    }
