"""`bise curate`: raw text to curated documents, with a reason for each one dropped."""

import json
from pathlib import Path
from typing import Any

import click

from bise.cli.extras import require_extra
from bise.config import load_recipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value of the recipe.")
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def command(recipe: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Curate raw text as RECIPE says: keep good documents, drop the others with a reason.

    The result is the run directory ROOT/curate/NAME/, ROOT and NAME being values of the recipe.
    """
    require_extra("corpus", "pyarrow")
    from bise.cli.progress import progress_bar
    from bise.corpus.pipeline import curate
    from bise.corpus.recipe import CurateRecipe

    resolved = load_recipe(recipe, CurateRecipe, overrides)
    with progress_bar("Curating") as progress:
        facts: dict[str, Any] = dict(curate(resolved, progress).facts)
    if facts["bad_lines"]:
        click.echo(f"Malformed lines: {facts['bad_lines']:,}", err=True)
        click.echo("\n".join(facts["bad_line_examples"]), err=True)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _summary(facts))
    click.echo(f"Written to {resolved.root / 'curate' / resolved.name}", err=True)


def _summary(facts: dict[str, Any]) -> str:
    rows = [("kept", "", facts["kept"], facts["kept_bytes"])]
    rows += [("", lang or "unknown", entry["documents"], entry["bytes"]) for lang, entry in facts["languages"].items()]
    rows += [("dropped", reason, count, None) for reason, count in facts["dropped"].items()]
    return "\n".join(
        f"{kind:<8} {what:<30} {count:>10,} documents" + ("" if size is None else f" {size / 1e6:>10,.1f} MB")
        for kind, what, count, size in rows
    )
