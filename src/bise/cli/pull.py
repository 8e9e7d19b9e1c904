"""`bise pull`: a model into the store."""

import json
from pathlib import Path

import click

from bise.errors import BiseError


@click.command("pull")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What the model will be called here.")
@click.option(
    "--bits", type=click.Choice(["4", "8", "16"]), help="Precision of the weights; kept as it is when not given."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(source: Path, name: str, bits: str | None, as_json: bool) -> None:
    """Take a model into the store: SOURCE is a finished train or tune run, or a model's directory."""
    from bise.cli.progress import progress_bar
    from bise.weights.store import describe, pull

    precision = int(bits) if bits else None
    card = _card(source, name, precision)
    with progress_bar(f"Taking in {name}") as progress:
        model = describe(pull(source, name, precision, card, progress))
    if as_json:
        click.echo(json.dumps({"name": model.name, "path": str(model.path), **model.facts()}))
        return
    click.echo(f"{model.name}: {model.summary()}")
    click.echo(f'Talk to it with: bise ask -m {model.name} "…"', err=True)


def _card(source: Path, name: str, bits: int | None) -> str | None:
    """The card of a run's model; a run that was brought here without its parents has none, and the user is told."""
    from bise.openness.card import model_card
    from bise.runs import MANIFEST, read_manifest

    if not (source / MANIFEST).is_file() or read_manifest(source).stage not in ("train", "tune"):
        return None
    try:
        return model_card(source, name, bits)
    except BiseError as error:
        click.echo(f"The model gets no card, because its lineage cannot be followed: {error}", err=True)
        return None
