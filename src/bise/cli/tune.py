"""`bise tune`: base weights to chat weights, or what people said in the chat to an adapter."""

import json
from pathlib import Path
from typing import Any

import click

from bise.cli.extras import require_extra
from bise.config import load_recipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path), required=False)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value of the recipe.")
@click.option("--from-feedback", is_flag=True, help="Learn from what was said about answers in the chat; no RECIPE.")
@click.option("--user", help="Who said it; without it, the owner of this machine.")
@click.option("--model", help="Whose answers it was said about; without it, the demonstration model.")
@click.option("--name", help="Of the adapter, which is offered as MODEL:NAME; without it, feedback-1, -2, …")
@click.option(
    "--keep-contacts", is_flag=True, help="Learn phone numbers and e-mail addresses as they are: they are public."
)
@click.option("--yes", is_flag=True, help="Learn without asking for approval.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def command(
    recipe: Path | None, overrides: tuple[str, ...], from_feedback: bool, as_json: bool, **feedback: Any
) -> None:
    """Tune a base model on conversations as RECIPE says; the same command continues a run that was stopped.

    The result is the run directory ROOT/tune/NAME/ with the model in model/, ROOT and NAME being values of the recipe.
    With --from-feedback it is an adapter that a running server offers at once, and the comparison with its base.
    """
    if (recipe is None) != from_feedback or (overrides and from_feedback):
        raise click.UsageError(
            "Give either a RECIPE, or --from-feedback with --user, --model, --name, --keep-contacts and --yes."
        )
    if not from_feedback and any(feedback.values()):
        raise click.UsageError("--user, --model, --name, --keep-contacts and --yes go with --from-feedback.")
    require_extra("train", "pyarrow", "torch")
    if recipe is None:
        from bise.cli.learning import learn_from_feedback

        learn_from_feedback(**feedback, as_json=as_json)
        return
    from bise.cli.training import summary, watching
    from bise.tune.finetune import tune
    from bise.tune.recipe import TuneRecipe

    resolved = load_recipe(recipe, TuneRecipe, overrides)
    with watching() as reporter:
        facts = tune(resolved, reporter).facts
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else summary(facts))
    click.echo(f"Written to {resolved.root / 'tune' / resolved.name}", err=True)
