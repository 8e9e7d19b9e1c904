"""`bise verify`: is a model still what its records say?"""

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("model")
@click.option("--runs", default=Path("runs"), type=click.Path(path_type=Path), help="The runs directory.  [runs]")
@click.option("--data", type=click.Path(path_type=Path), help="Check the files read, too: they are here.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(model: str, runs: Path, data: Path | None, as_json: bool) -> int:
    """Recompute the hashes of MODEL and of everything it was made from; exit with 1 and name the first that differs."""
    from bise.cli.progress import progress_bar
    from bise.openness.lineage import find_owner, lineage_of
    from bise.openness.verify import verify

    lineage = lineage_of(find_owner(model), runs)
    with progress_bar("Hashing") as progress:
        checks = list(verify(lineage, data, progress))
    first = next((check for check in checks if check.status == "differs"), None)
    if as_json:
        click.echo(json.dumps([asdict(check) for check in checks], indent=2))
        return int(first is not None)
    counts = {status: sum(check.status == status for check in checks) for status in ("same", "record", "absent")}
    if first is not None:
        click.echo(f"{first.name} differs: its hash is {first.found}, but {first.expected} is recorded.")
        return 1
    click.echo(
        f"No hash differs. {counts['same']} are the same; of {counts['record']} steps only the record is here; "
        f"{counts['absent']} files or steps are not here."
    )
    for check in checks:
        if check.status == "absent":
            other = "; a file of that name has another hash" if check.found else ""
            click.echo(f"not here: {check.name}{other}", err=True)
    return 0
