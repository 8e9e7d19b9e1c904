"""`bise models`: the models on this machine, and their adapters."""

import json
from typing import TYPE_CHECKING

import click

from bise.errors import InputError

if TYPE_CHECKING:
    from bise.weights.adapters import StoredAdapter
    from bise.weights.store import StoredModel


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """The models on this machine; without a subcommand, list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_command(as_json: bool = False) -> None:
    """Every model with its adapters: those of the package first, then those of the store."""
    from bise.weights.adapters import list_adapters, models_with_adapters
    from bise.weights.store import list_models, unfinished

    models = {model.name: model for model in list_models()}
    adapters = {name: list_adapters(name) for name in [*models, *models_with_adapters()]}
    if as_json:
        rows = [{**_model_row(model), "adapters": list(map(_adapter_row, adapters[n]))} for n, model in models.items()]
        click.echo(json.dumps(rows, indent=2))
        return
    for name in adapters:
        click.echo(f"{name:24} {models[name].summary() if name in models else 'not here, but its adapters are'}")
        for adapter in adapters[name]:
            click.echo(f"  {adapter.reference:22} {adapter.summary()}")
    for name in unfinished():
        words = f"{name}: its pull was stopped. The same command goes on; bise models remove {name} forgets it."
        click.echo(words, err=True)
    if not models:
        click.echo("There is no model here yet. Train one, then: bise pull RUN --name NAME", err=True)


@command.command("show")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show_command(model: str, as_json: bool) -> None:
    """Shape, size and card of one model or adapter; MODEL is a name, a path, or model:adapter."""
    from bise.weights.adapters import find_adapter, list_adapters, split_reference
    from bise.weights.pull import read_errors
    from bise.weights.store import describe, find_model, read_card

    name, adapter = split_reference(model)
    if adapter is not None:
        found = find_adapter(name, adapter)
        row, title, below = _adapter_row(found), found.reference, []
        path, summary = found.path, found.summary()
    else:
        stored = describe(find_model(name))
        below = list_adapters(stored.name)
        row = {**_model_row(stored), "adapters": list(map(_adapter_row, below))}
        row["rounding_error"] = read_errors(stored.path)
        path, title, summary = stored.path, stored.name, stored.summary()
    card = read_card(path)
    if as_json:
        click.echo(json.dumps({**row, "card": card}, indent=2))
        return
    click.echo(f"{title}: {summary}\n{path}")
    for each in below:
        click.echo(f"  {each.reference:22} {each.summary()}")
    click.echo(f"\n{card}" if card else "It has no card.")


@command.command("remove")
@click.argument("model")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def remove_command(model: str, yes: bool, as_json: bool) -> None:
    """Delete a pulled model, or with model:adapter one of its adapters, or what a stopped pull left.

    The files of other programs stay.
    """
    from bise.weights.adapters import find_adapter, list_adapters, remove_adapter, split_reference
    from bise.weights.store import check_removable, remove_model

    name, adapter = split_reference(model)
    path = check_removable(name) if adapter is None else find_adapter(name, adapter).path
    if not yes and not click.confirm(f"Delete {path}?", err=True):
        raise InputError(f"{model} was kept. To delete it without being asked: bise models remove {model} --yes")
    path = remove_model(name) if adapter is None else remove_adapter(name, adapter)
    click.echo(json.dumps({"removed": str(path)}) if as_json else f"Removed {path}")
    kept = list_adapters(name) if adapter is None else []
    if kept:
        names = ", ".join(each.reference for each in kept)
        click.echo(f"Its adapters are kept: {names}. bise models remove {kept[0].reference} deletes one.", err=True)


def _model_row(model: "StoredModel") -> dict[str, object]:
    return {"name": model.name, "path": str(model.path), "shipped": model.shipped, **model.facts()}


def _adapter_row(adapter: "StoredAdapter") -> dict[str, object]:
    return {"name": adapter.reference, "path": str(adapter.path), **adapter.facts()}
