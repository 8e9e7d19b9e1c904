"""`bise models`: the models on this machine."""

import json

import click


@click.group("models", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """The models on this machine; without a subcommand, list them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_command(as_json: bool = False) -> None:
    """Every model: those of the package first, then those of the store."""
    from bise.weights.store import list_models

    models = list_models()
    if as_json:
        rows = [{"name": m.name, "path": str(m.path), "shipped": m.shipped, **m.facts()} for m in models]
        click.echo(json.dumps(rows, indent=2))
        return
    for model in models:
        click.echo(f"{model.name:24} {model.summary()}")
    if not models:
        click.echo("There is no model here yet. Train one, then: bise pull RUN --name NAME", err=True)


@command.command("show")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def show_command(model: str, as_json: bool) -> None:
    """One model's shape, size and card; MODEL is a name or a path."""
    from bise.weights.store import describe, find_model, read_card

    found = describe(find_model(model))
    card = read_card(found.path)
    if as_json:
        row = {"name": found.name, "path": str(found.path), "shipped": found.shipped, **found.facts(), "card": card}
        click.echo(json.dumps(row, indent=2))
        return
    click.echo(f"{found.name}: {found.summary()}\n{found.path}")
    click.echo(f"\n{card}" if card else "It has no card.")


@command.command("remove")
@click.argument("model")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def remove_command(model: str, as_json: bool) -> None:
    """Delete a pulled model from the store."""
    from bise.weights.store import remove_model

    path = remove_model(model)
    click.echo(json.dumps({"removed": str(path)}) if as_json else f"Removed {path}")
