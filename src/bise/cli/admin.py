"""`bise admin`: users, projects, keys, limits, usage, the audit log, copies of the database."""

import click

from bise.cli.accounts import projects, users
from bise.cli.backup import backup, restore
from bise.cli.keys import keys
from bise.cli.operations import audit, limits, usage


@click.group("admin")
def command() -> None:
    """Look after this server: who may use it, how much, and what was used."""


for each in (users, projects, keys, limits, usage, audit, backup, restore):
    command.add_command(each)
