"""`bise admin users` and `bise admin projects`."""

import json
from typing import TYPE_CHECKING

import click

from bise.cli.database import with_database

if TYPE_CHECKING:
    from bise.store.accounts import Role, User
    from bise.store.projects import Project


@click.group("users", invoke_without_command=True, short_help="Accounts: who may come in.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def users(ctx: click.Context, as_json: bool) -> None:
    """List who has an account; subcommands add, let in, shut out and remove users."""
    if ctx.invoked_subcommand is not None:
        return
    from bise.store.accounts import list_users

    found = with_database(list_users)
    if as_json:
        click.echo(json.dumps([_user_facts(user) for user in found]))
        return
    for user in found:
        state = f"disabled {user.disabled_at:%Y-%m-%d}" if user.disabled_at else ""
        click.echo(f"{user.name:24}  {user.role:6}  {state}".rstrip())
    if not found:
        click.echo("There is no user yet. Add one with: bise admin users add NAME", err=True)


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(["user", "admin"]), default="user", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def add_user(name: str, role: "Role", as_json: bool) -> None:
    """Make an account. Its browser comes in by `link`, its programs by `bise admin keys --user NAME`."""
    from bise.store.accounts import create_user

    user = with_database(lambda database: create_user(database, name, role))
    click.echo(json.dumps(_user_facts(user)) if as_json else f"Added {user.name} ({user.role}).")


@users.command("link")
@click.argument("name")
@click.option("--url", default="http://127.0.0.1:8421", show_default=True, help="The address of the server.")
def link(name: str, url: str) -> None:
    """Print an address that lets one browser of NAME in, once, within a day. Send it to them only."""
    from bise.store.accounts import create_link

    token = with_database(lambda database: create_link(database, name))
    click.echo(f"{url.rstrip('/')}/enter?token={token}")


@users.command("password")
@click.argument("name")
def password(name: str) -> None:
    """Give NAME a password to sign in with; it is asked for. All their browsers are signed out."""
    import asyncio

    from bise.app.passwords import Passwords
    from bise.store.accounts import find_user
    from bise.store.audit import COMMAND_LINE
    from bise.store.passwords import check_password, set_password

    with_database(lambda database: find_user(database, name))
    text = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    check_password(name, text)
    hashed = asyncio.run(Passwords().hash(text))
    with_database(lambda database: set_password(database, name, hashed, COMMAND_LINE))
    click.echo(f"{name} has a new password.")


@users.command("invite")
@click.option("--role", type=click.Choice(["user", "admin"]), default="user", show_default=True)
@click.option("--days", default=7, show_default=True, help="How long it is valid.")
@click.option("--uses", default=1, show_default=True, help="How many people may use it.")
@click.option("--url", default="http://127.0.0.1:8421", show_default=True, help="The address of the server.")
def invite(role: "Role", days: int, uses: int, url: str) -> None:
    """Print an address at which people make accounts. The server's settings must say sign_up = "invited" or "open"."""
    from bise.store.audit import COMMAND_LINE
    from bise.store.signing_up import create_invitation

    _, token = with_database(lambda database: create_invitation(database, COMMAND_LINE, role, days, uses))
    click.echo(f"{url.rstrip('/')}/#join={token}")


@users.command("disable")
@click.argument("name")
def disable(name: str) -> None:
    """Shut out the browsers and keys of NAME. Nothing of theirs is lost."""
    _set_disabled(name, True)


@users.command("enable")
@click.argument("name")
def enable(name: str) -> None:
    """Let the browsers and keys of NAME in again."""
    _set_disabled(name, False)


@users.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(name: str, yes: bool) -> None:
    """Delete NAME with all conversations, feedback and keys. What was used stays counted."""
    from bise.store.accounts import find_user, remove_user

    with_database(lambda database: find_user(database, name))
    if not yes:
        click.confirm(f"Delete {name} and everything that they wrote?", abort=True, err=True)
    with_database(lambda database: remove_user(database, name))
    click.echo(f"Removed {name}.")


@click.group("projects", invoke_without_command=True, short_help="Projects, for which keys are made.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def projects(ctx: click.Context, as_json: bool) -> None:
    """List projects, for which keys are made, with limits and usage of their own."""
    if ctx.invoked_subcommand is not None:
        return
    from bise.store.projects import list_projects

    found = with_database(list_projects)
    if as_json:
        click.echo(json.dumps([_project_facts(project) for project in found]))
        return
    for project in found:
        state = f"  archived {project.archived_at:%Y-%m-%d}" if project.archived_at else ""
        click.echo(f"{project.name:24}  {', '.join(project.members) or 'nobody'}{state}")
    if not found:
        click.echo("There is no project yet. Add one with: bise admin projects add NAME", err=True)


@projects.command("add")
@click.argument("name")
def add_project(name: str) -> None:
    """Make a project without members."""
    from bise.store.projects import create_project

    with_database(lambda database: create_project(database, name))
    click.echo(f"Added {name}. Take users in with: bise admin projects join {name} USER")


@projects.command("join")
@click.argument("project")
@click.argument("user")
def join(project: str, user: str) -> None:
    """Take USER into PROJECT: keys may then be made for both."""
    _set_member(project, user, True)


@projects.command("leave")
@click.argument("project")
@click.argument("user")
def leave(project: str, user: str) -> None:
    """Take USER out of PROJECT: the keys of both open nothing any more."""
    _set_member(project, user, False)


@projects.command("archive")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Let the keys in again.")
def archive(name: str, undo: bool) -> None:
    """Shut out all keys of a project."""
    from bise.store.projects import archive_project

    with_database(lambda database: archive_project(database, name, not undo))
    click.echo(f"{name} is {'in use again' if undo else 'archived'}.")


def _set_disabled(name: str, disabled: bool) -> None:
    from bise.store.accounts import disable_user

    with_database(lambda database: disable_user(database, name, disabled))
    click.echo(f"{name} is {'shut out' if disabled else 'let in again'}.")


def _set_member(project: str, user: str, is_member: bool) -> None:
    from bise.store.projects import change_member

    with_database(lambda database: change_member(database, project, user, is_member))
    click.echo(f"{user} is {'in' if is_member else 'out of'} {project}.")


def _user_facts(user: "User") -> dict[str, str | None]:
    disabled = user.disabled_at.isoformat() if user.disabled_at else None
    return {"name": user.name, "role": user.role, "disabled_at": disabled}


def _project_facts(project: "Project") -> dict[str, object]:
    archived = project.archived_at.isoformat() if project.archived_at else None
    return {"name": project.name, "members": list(project.members), "archived_at": archived}
