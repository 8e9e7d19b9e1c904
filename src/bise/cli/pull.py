"""`bise pull`: a model into the store."""

import json
from pathlib import Path

import click

from bise.errors import BiseError, InputError


@click.command("pull")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What it will be called here; an adapter model:adapter.")
@click.option(
    "--bits", type=click.Choice(["4", "8", "16"]), help="Precision of the weights; kept as it is when not given."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def command(source: Path, name: str, bits: str | None, as_json: bool) -> None:
    """Take a model into the store: SOURCE is a finished train or tune run, or a model's directory.

    With a name such as mine:polite, the adapter of a tune run, or a directory in peft's format, becomes an adapter of
    the model mine.
    """
    from bise.cli.progress import progress_bar
    from bise.weights.adapters import split_reference
    from bise.weights.store import describe, pull

    owner, adapter = split_reference(name)
    if adapter is not None:
        _pull_adapter(source, owner, adapter, bits, as_json)
        return

    precision = int(bits) if bits else None
    card = _card(source, name, precision)
    with progress_bar(f"Taking in {name}") as progress:
        model = describe(pull(source, name, precision, card, progress))
    if as_json:
        click.echo(json.dumps({"name": model.name, "path": str(model.path), **model.facts()}))
        return
    click.echo(f"{model.name}: {model.summary()}")
    click.echo(f'Talk to it with: bise ask -m {model.name} "…"', err=True)


def _pull_adapter(source: Path, model: str, name: str, bits: str | None, as_json: bool) -> None:
    from bise.weights.adapters import install_adapter

    if bits is not None:
        raise InputError("--bits rounds a model's weights; an adapter keeps its own. Leave it out.")
    adapter = install_adapter(source, model, name)
    if as_json:
        click.echo(json.dumps({"name": adapter.reference, "path": str(adapter.path), **adapter.facts()}))
        return
    click.echo(f"{adapter.reference}: {adapter.summary()}")
    click.echo(f'Talk to it with: bise ask -m {adapter.reference} "…"; a running server offers it already.', err=True)


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
