"""`bise eval`: how good a model is."""

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.evals.results import TaskResult
    from bise.evals.target import Target


@click.command("eval")
@click.argument("model")
@click.argument("suites", nargs=-1, metavar="SUITE…")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Such as data.root=DIR or limit=200.")
@click.option("--url", default="", help="Ask another server's API, with its version: http://10.0.0.5:8000/v1")
@click.option("--key-env", "key_variable", default="", metavar="NAME", help="The variable that holds its key.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON.")
def command(
    model: str, suites: tuple[str, ...], overrides: tuple[str, ...], url: str, key_variable: str, as_json: bool
) -> None:
    """Measure MODEL of the store, or of the server at --url, with one SUITE or several; without one, they are listed.

    The result is the run directory runs/eval/NAME/: results.json, a log of every item, and report.html. The same command
    goes on where it was stopped.
    """
    from bise.cli.extras import require_extra
    from bise.cli.progress import progress_bar
    from bise.config import apply_override, from_table
    from bise.evals.parity import parity_of
    from bise.evals.parity_section import parity_lines
    from bise.evals.run import evaluate, run_name
    from bise.evals.suites import SUITES, check_suites
    from bise.evals.tasks import EvalSettings

    table: dict[str, object] = {}
    for override in overrides:
        apply_override(table, override)
    settings = from_table(table, EvalSettings, "--set")
    names = check_suites(suites)
    require_extra("evals", *sorted({module for name in names for module in SUITES[name].modules}))
    with _target(model, url, key_variable) as target, progress_bar("Measuring") as advance:
        results, _ = evaluate(target, names, settings, advance)
        place = settings.root / "eval" / run_name(target, names, settings)
    click.echo(json.dumps(asdict(results), ensure_ascii=False, indent=2) if as_json else summary(results.tasks))
    if not as_json and (languages := parity_of(place, results)):
        click.echo("\n".join(("", *parity_lines(languages))))
    click.echo(f"Written to {place}", err=True)


def _target(model: str, url: str, key_variable: str) -> "AbstractContextManager[Target]":
    from bise.evals.target import local_target, remote_target

    if url:
        return nullcontext(remote_target(url, model, key_variable))
    return local_target(model, lambda text: click.echo(text, err=True))


def summary(tasks: "Sequence[TaskResult]") -> str:
    """A line for each score."""
    lines = [f"{'task':28} {'n':>6} {'score':>9} {'± 95 %':>8} {'chance':>7}"]
    for task in tasks:
        spread = f"{1.96 * task.standard_error:.4f}" if task.standard_error is not None else ""
        chance = f"{task.chance:.3f}" if task.chance is not None else ""
        verdict = "  not distinguishable from chance" if task.at_chance else ""
        lines.append(f"{task.task:28} {task.n:>6,} {task.value:>9.4f} {spread:>8} {chance:>7}{verdict}")
    return "\n".join(lines)
