"""`bise train`: curated documents to base weights."""

import json
from pathlib import Path

import click

from bise.cli.extras import require_extra
from bise.config import load_recipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value of the recipe.")
@click.option("--budget", metavar="TIME", help="Time on this machine, such as 25m: shape and all else follow from it.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def command(recipe: Path, overrides: tuple[str, ...], budget: str | None, as_json: bool) -> None:
    """Train base weights as RECIPE says; the same command continues a run that was stopped.

    The result is the run directory ROOT/train/NAME/ with the model in model/, ROOT and NAME being values of the recipe.
    """
    require_extra("train", "pyarrow", "torch")
    from bise.cli.training import summary, watching
    from bise.train.pretrain import train
    from bise.train.recipe import TrainRecipe

    dial = (f'budget="{budget}"',) if budget else ()
    resolved = load_recipe(recipe, TrainRecipe, (*overrides, *dial))
    with watching() as reporter:
        facts = train(resolved, reporter).facts
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else summary(facts))
    click.echo(f"Written to {resolved.root / 'train' / resolved.name}", err=True)
