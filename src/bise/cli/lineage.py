"""`bise lineage`: everything that a model was made from."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.openness.steps import Step


@click.command()
@click.argument("model")
@click.option("--runs", default=Path("runs"), type=click.Path(path_type=Path), help="The runs directory.  [runs]")
@click.option("--recipes", type=click.Path(path_type=Path), help="Also write each run's recipe to this directory.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object with every hash.")
def command(model: str, runs: Path, recipes: Path | None, as_json: bool) -> None:
    """Walk back from MODEL, a name, a path or a run, to its sources: hash, date, code, licence, cost, and the command
    that makes each step again."""
    from bise.openness.lineage import find_owner, lineage_of
    from bise.openness.steps import steps_of, write_recipes

    lineage = lineage_of(find_owner(model), runs)
    steps = steps_of(lineage)
    if as_json:
        told = {"steps": [asdict(step) for step in steps], "missing": [asdict(parent) for parent in lineage.missing]}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        click.echo("\n".join(map(_in_words, steps)))
        for parent in lineage.missing:
            click.echo(f"{parent.name}  {parent.sha256[:16]}\n  no record of it on this machine")
    if recipes is not None:
        for path in write_recipes(lineage, recipes):
            click.echo(f"Written: {path}", err=True)


def _in_words(step: "Step") -> str:
    lines = [f"{click.style(step.name, bold=True)}  {step.sha256[:16]}"]
    code = f", code {step.source_sha256[:12]}" if step.source_sha256 else ""
    lines.append(f"  {step.created[:19].replace('T', ' ')}, Bise {step.bise_version}{code}, {step.seconds:,.1f} s")
    lines += [f"  licence {step.licence}"] if step.licence else []
    cost = [f"{step.energy_kwh:g} kWh"] if step.energy_kwh is not None else []
    cost += [step.cost] if step.cost else []
    lines += ["  " + ", ".join(cost)] if cost else []
    if step.shards:
        shards = step.shards
        lines.append(
            f"  shards {shards.path}: {shards.num_tokens:,} tokens of {shards.num_documents:,} documents, "
            f"SHA-256 {shards.sha256[:16]}"
        )
    for source in step.sources:
        lines.append(
            f"  {source.name}: {source.number:,} {source.kind}, {source.licence}; {source.origin or 'no origin stated'}"
        )
    files = sum(1 for each in step.inputs if each.kind == "file")
    lines += [f"  {files} files read, {len(step.outputs)} written" + ("" if step.here else "; only the record is here")]
    return "\n".join([*lines, f"  again: {step.command}"])
