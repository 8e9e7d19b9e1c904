"""`bise admin backup` and `bise admin restore`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bise.cli.database import with_database

if TYPE_CHECKING:
    from bise.store.database import Database


@click.command("backup", short_help="Copy the whole database into a file.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def backup(file: Path, as_json: bool) -> None:
    """Copy the whole database into a new FILE; a running server may go on.

    The file is an SQLite database whatever the original is. It holds what people wrote: keep it as safe as the original.
    """
    from bise.store.backup import back_up

    with_database(lambda database: back_up(database, file))
    size = file.stat().st_size
    click.echo(json.dumps({"file": str(file), "bytes": size}) if as_json else f"{file}: {size:,} bytes.")


@click.command("restore", short_help="Put a copy of the database back.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def restore(file: Path, yes: bool, as_json: bool) -> None:
    """Put what FILE holds in the place of everything in the database, which is copied beside itself before.

    End the server first. FILE may come from SQLite or PostgreSQL and from an earlier Bise.
    """
    from bise.store.backup import back_up
    from bise.store.backup import restore as put_back
    from bise.store.migrating import backup_path

    if not yes:
        click.confirm("Replace everything in the database?", abort=True, err=True)

    async def act(database: "Database") -> tuple[Path, dict[str, int]]:
        before = backup_path(database.url, "before-restore")
        await back_up(database, before)
        return before, await put_back(database, file)

    before, counts = with_database(act)
    if as_json:
        click.echo(json.dumps({"before": str(before), "rows": counts}))
        return
    click.echo(f"Put back: {', '.join(f'{number} {table}' for table, number in counts.items() if number)}.")
    click.echo(f"What was there before is in {before}", err=True)
