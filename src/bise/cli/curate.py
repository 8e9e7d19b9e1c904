"""`bise curate`: raw text to curated documents, with a reason for each one dropped."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bise.cli.extras import require_extra
from bise.config import load_recipe

if TYPE_CHECKING:
    from bise.cli.progress import Advance
    from bise.corpus.progress import Standing
    from bise.corpus.recipe import CurateRecipe


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override one value of the recipe.")
@click.option("--report", is_flag=True, help="Also write ROOT/curate/NAME.html: what was dropped where, and samples.")
@click.option(
    "--from-statistics",
    "finished",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Write nothing: say what the recipe's rules would change in a finished run.",
)
@click.option(
    "--index", is_flag=True, help="Also write ROOT/index/NAME/, in which bise trace and the chat look texts up."
)
@click.option("--json", "as_json", is_flag=True, help="Print the facts of the run as JSON.")
def command(
    recipe: Path, overrides: tuple[str, ...], report: bool, finished: Path | None, index: bool, as_json: bool
) -> None:
    """Curate raw text as RECIPE says: keep good documents, drop the others with a reason.

    The result is the run directory ROOT/curate/NAME/, ROOT and NAME being values of the recipe. A run that was
    interrupted goes on where it was. With --report or --index, a run that is finished is not made again.
    """
    require_extra("corpus", "pyarrow")
    from bise.corpus.recipe import CurateRecipe

    resolved = load_recipe(recipe, CurateRecipe, overrides)
    if finished:
        _print_changes(finished, resolved, as_json)
    else:
        _curate(resolved, report, index, as_json)


def _curate(recipe: "CurateRecipe", report: bool, index: bool, as_json: bool) -> None:
    from bise.cli.progress import progress_bar
    from bise.corpus.pipeline import curate, finished_as
    from bise.corpus.report import write_report
    from bise.corpus.seen import Run

    directory = recipe.root / "curate" / recipe.name
    manifest = finished_as(recipe) if report or index else None
    if manifest is None:
        with progress_bar("Reading the recipe") as advance:
            manifest = curate(recipe, partial(_show, advance))
    facts: dict[str, Any] = manifest.facts
    if facts["bad_lines"]:
        click.echo(f"Malformed records: {facts['bad_lines']:,}", err=True)
        click.echo("\n".join(facts["bad_line_examples"]), err=True)
    click.echo(json.dumps(facts, indent=2, ensure_ascii=False) if as_json else _summary(facts))
    if (peak_mb := facts["measured"].get("near_duplicate_peak_mb", 0)) >= 1:
        a_million = facts["measured"]["near_duplicate_mb_per_million_documents"]
        click.echo(f"Near copies: {peak_mb:,.1f} MB of memory, {a_million:,.0f} MB a million documents", err=True)
    click.echo(f"Written to {directory}", err=True)
    if report:
        page = directory.with_name(f"{recipe.name}.html")
        write_report(Run(directory), page)
        click.echo(f"Report: {page}", err=True)
    if index:
        _index(directory)


def _index(directory: Path) -> None:
    from bise.cli.progress import progress_bar
    from bise.corpus.indexing import index_corpus
    from bise.corpus.readers import read_curated

    with progress_bar("Indexing") as advance:
        manifest = index_corpus(directory, read_curated(directory), progress=advance)
    size, words = manifest.facts["index_bytes"], manifest.facts["num_words"]
    click.echo(f"Index: {size / 1e6:,.1f} MB over {words:,} words, for bise trace and the chat", err=True)  # type: ignore[operator]


def _show(advance: "Advance", standing: "Standing") -> None:
    rate = f"{standing.text_mb_per_s:.1f} MB/s" if standing.text_bytes else ""
    advance(standing.done, standing.total, standing.phase, rate)


def _summary(facts: dict[str, Any]) -> str:
    rows = [("kept", "", facts["kept"], facts["kept_bytes"])]
    rows += [("", lang or "unknown", entry["documents"], entry["bytes"]) for lang, entry in facts["languages"].items()]
    rows += [("dropped", reason, count, None) for reason, count in facts["dropped"].items()]
    return "\n".join(
        f"{kind:<8} {what:<30} {count:>10,} documents" + ("" if size is None else f" {_size(size):>13}")
        for kind, what, count, size in rows
    )


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 100_000 else f"{num_bytes / 1e3:,.1f} kB"


def _print_changes(finished: Path, recipe: "CurateRecipe", as_json: bool) -> None:
    from bise.corpus.retune import retune
    from bise.corpus.seen import Run

    changes = retune(Run(finished), recipe.rules)
    if as_json:
        click.echo(json.dumps([vars(change) for change in changes], indent=2))
        return
    if not changes:
        click.echo("These rules change nothing: every document keeps its fate.")
        return
    click.echo(f"{'language':<10} {'rule':<34} {'newly dropped':>14} {'newly kept':>11}")
    for change in changes:
        click.echo(
            f"{change.lang or 'unknown':<10} {change.reason:<34} {change.newly_dropped:>14,} {change.newly_kept:>11,}"
        )
