"""`bise admin limits`, `bise admin usage` and `bise admin audit`."""

import csv
import json
import sys
from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, cast

import click

from bise.cli.database import with_database

if TYPE_CHECKING:
    from bise.store.limits import Limited
    from bise.store.usage import Grouping

_DAY = click.DateTime(["%Y-%m-%d"])


@click.group("limits", invoke_without_command=True, short_help="What users, projects and keys may use.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def limits(ctx: click.Context, as_json: bool) -> None:
    """List what users, projects and keys may use; subcommands set and clear limits."""
    if ctx.invoked_subcommand is not None:
        return
    from bise.store.limits import list_limits

    found = with_database(list_limits)
    if as_json:
        click.echo(json.dumps([_limit_facts(each) for each in found]))
        return
    for each in found:
        click.echo(_limit_line(each))
    if not found:
        click.echo("There are no limits. Set some with: bise admin limits set everybody --parallel 4", err=True)


@limits.command("set")
@click.argument("subject")
@click.option("--requests-per-s", type=float, default=None, help="Requests a second; 0.1 is one in ten seconds.")
@click.option("--tokens-per-min", type=int, default=None, help="Prompts and answers together, as are the others.")
@click.option("--tokens-per-month", type=int, default=None, help="Of the calendar, UTC.")
@click.option("--tokens-total", type=int, default=None, help="A budget that does not come again.")
@click.option("--parallel", type=int, default=None, help="Requests at the same time.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def set_command(subject: str, as_json: bool, **changes: float | int | None) -> None:
    """Limit SUBJECT: user:NAME, project:NAME, key:BEGINNING, or everybody, which binds each user without own limits.

    All limits that apply to a request must hold. Those that are not named stay as they are.
    """
    _change_limits(subject, {name: value for name, value in changes.items() if value is not None}, as_json)


@limits.command("clear")
@click.argument("subject")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def clear_command(subject: str, as_json: bool) -> None:
    """Take all limits of SUBJECT away."""
    from dataclasses import fields

    from bise.store.limits import Limits

    _change_limits(subject, dict.fromkeys(field.name for field in fields(Limits)), as_json)


@click.command("usage")
@click.option(
    "--by", default="month,user,model", show_default=True, help="Some of day, month, user, project, key, model."
)
@click.option("--since", type=_DAY, default=None, help="The first day, UTC.")
@click.option("--until", type=_DAY, default=None, help="The last day.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a head.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def usage(by: str, since: datetime | None, until: datetime | None, as_csv: bool, as_json: bool) -> None:
    """What was used, to the token. A running server writes it down each second. An empty key means the chat."""
    from bise.store.usage import report

    groups = _groups(by)
    rows = with_database(lambda database: report(database, groups, _day(since), _day(until)))
    if as_json:
        click.echo(json.dumps(rows))
        return
    names = [*groups, "num_requests", "num_prompt_tokens", "num_completion_tokens"]
    if as_csv:
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _tame(value) for name, value in row.items()} for row in rows)
        return
    table = [[name.removeprefix("num_") for name in names], *([str(row[name]) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


@click.command("audit")
@click.option("--last", default=50, show_default=True, type=click.IntRange(1), help="How many entries.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def audit(last: int, as_json: bool) -> None:
    """What operators did, oldest first. This log can only grow: the database refuses to change it."""
    from bise.store.audit import list_audit

    for_json = []
    for entry in with_database(lambda database: list_audit(database, last)):
        details = " ".join(f"{name}={value}" for name, value in entry.details.items() if value is not None)
        if not as_json:
            click.echo(
                f"{entry.at:%Y-%m-%d %H:%M:%S}  {entry.actor}  {entry.action}  {entry.subject}  {details}".rstrip()
            )
        for_json.append(vars(entry) | {"at": entry.at.isoformat()})
    if as_json:
        click.echo(json.dumps(for_json))


def _change_limits(subject: str, changes: dict[str, float | int | None], as_json: bool) -> None:
    from bise.errors import InputError
    from bise.store.limits import set_limits

    if not changes:
        raise InputError("No limit was named. See: bise admin limits set --help")
    changed = with_database(lambda database: set_limits(database, subject, changes))
    click.echo(json.dumps(_limit_facts(changed)) if as_json else _limit_line(changed))


def _limit_facts(limited: "Limited") -> dict[str, Any]:
    return {"kind": limited.subject.kind, "name": limited.subject.name, **vars(limited.limits)}


def _limit_line(limited: "Limited") -> str:
    subject = limited.subject
    address = subject.kind if subject.kind == "everybody" else f"{subject.kind}:{subject.name}"
    bounds = [f"{value:,} {name}" for name, value in vars(limited.limits).items() if value is not None]
    return f"{address:32}  {', '.join(bounds) or 'no limits'}"


def _groups(by: str) -> "Sequence[Grouping]":
    from bise.errors import InputError
    from bise.store.usage import GROUPINGS

    names = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in names if name not in GROUPINGS]
    if unknown or not names:
        raise InputError(f"--by is {by!r}, but must be some of {', '.join(GROUPINGS)}, with commas between.")
    return cast("Sequence[Grouping]", list(dict.fromkeys(names)))


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _tame(value: object) -> object:
    """A name that a spreadsheet would take for a formula is told to be text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t")) else value
