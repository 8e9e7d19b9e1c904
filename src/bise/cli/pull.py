"""`bise pull`: a model into the store."""

import json
from pathlib import Path

import click


@click.command("pull")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What the model will be called here.")
@click.option("--bits", type=click.Choice(["8", "16"]), help="Precision of the weights; kept as it is when not given.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(source: Path, name: str, bits: str | None, as_json: bool) -> None:
    """Take a model into the store: SOURCE is a finished train or tune run, or a model's directory."""
    from bise.weights.store import describe, pull

    model = describe(pull(source, name, int(bits) if bits else None))
    if as_json:
        click.echo(json.dumps({"name": model.name, "path": str(model.path), **model.facts()}))
        return
    click.echo(f"{model.name}: {model.summary()}")
    click.echo(f'Talk to it with: bise ask -m {model.name} "…"', err=True)
