"""`bise compare`: two models on the same items."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bise.evals.compare import Comparison, TaskComparison
    from bise.evals.divergence import Divergence


@click.command("compare")
@click.argument("a")
@click.argument("b")
@click.argument("suites", nargs=-1, metavar="SUITE…")
@click.option(
    "--text",
    "texts",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Texts on which distributions of two models of one vocabulary are compared, token by token.",
)
@click.option("--fail-if-worse", is_flag=True, help="Exit with 1 when B is worse than A, or than gate.METRIC allows.")
@click.option("--report", type=click.Path(path_type=Path), help="Also write an HTML page there.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As for bise eval; also a.url, b.url, gate.…"
)
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(
    a: str,
    b: str,
    suites: tuple[str, ...],
    texts: tuple[Path, ...],
    fail_if_worse: bool,
    report: Path | None,
    overrides: tuple[str, ...],
    as_json: bool,
) -> int:
    """Compare model B with model A on the items of one SUITE or several, and say what is more than chance.

    A and B are models of the store, directories that bise eval wrote, or models of a server: --set b.url=https://…/v1
    --set b.key_env=NAME. What bise eval measured already is not measured again. With --text, the two models' distributions
    are compared, too: KL divergence, agreement of the likeliest token, bits per byte.
    """
    from bise.cli.preparing import preparing
    from bise.cli.progress import progress_bar
    from bise.config import apply_override, from_table
    from bise.evals.compare import failures
    from bise.evals.compare_page import write_page
    from bise.evals.sides import CompareSettings, Listener, Side, compare

    table: dict[str, object] = {}
    for override in overrides:
        apply_override(table, override)
    settings = from_table(table, CompareSettings, "--set")
    with progress_bar("Comparing") as advance:
        listener = Listener(lambda text: click.echo(text, err=True), advance, preparing())
        comparison = compare(Side(a, settings.a), Side(b, settings.b), suites, texts, settings, listener)
    problems = failures(comparison, settings.gate) if fail_if_worse or settings.gate else []
    told = asdict(comparison) | {"failures": problems}
    click.echo(json.dumps(told, ensure_ascii=False, indent=2) if as_json else "\n".join(_in_words(comparison)))
    if report:
        write_page(report, comparison, problems)
        click.echo(f"Report: {report}", err=True)
    for problem in problems:
        click.echo(f"Worse: {problem}", err=True)
    return int(bool(problems) and fail_if_worse)


def _in_words(comparison: "Comparison") -> Iterator[str]:
    yield f"A: {_model(comparison, 0)}"
    yield f"B: {_model(comparison, 1)}"
    if comparison.tasks:
        yield ""
        yield f"{'task':28} {'n':>6} {'A':>9} {'B':>9} {'B - A':>9} {'95 %':>20} {'p':>7}"
        yield from (_row(task) for task in comparison.tasks)
        yield ""
        yield "p is corrected for the number of tasks (Holm). Where no difference is shown, the number says which"
        yield "difference would have been found four times in five."
    if comparison.divergence is not None:
        yield ""
        yield from _divergence(comparison.divergence)
    for task in comparison.tasks:
        yield from (f"{task.task}: {note}" for note in _notes(task))
    for name, reason in comparison.left_out.items():
        yield f"Not compared: {name}, as {reason}"
    if comparison.only_second:
        yield f"Only B was measured on: {', '.join(comparison.only_second)}"


def _model(comparison: "Comparison", index: int) -> str:
    model = (comparison.first, comparison.second)[index]
    date, cost = comparison.dates[index], comparison.costs[index]
    bits = f", {model.bits} bits" if model.bits else ""
    where = f" at {model.url}" if model.url else ""
    when = f", measured {date[:10]}" if date else ""
    return f"{model.name}{bits}{where}{when}{f', cost {cost}' if cost else ''}"


def _row(task: "TaskComparison") -> str:
    found = task.difference
    spread = f"{found.low:+.4f} to {found.high:+.4f}"
    verdict: str = task.verdict
    if task.verdict == "no difference shown":
        verdict += (
            f" ({task.minimum_detectable_effect:.4f})" if task.minimum_detectable_effect else ": equal on all items"
        )
    return (
        f"{task.task:28} {found.num_items:>6,} {task.first:>9.4f} {task.second:>9.4f} {found.value:>+9.4f} "
        f"{spread:>20} {task.p_corrected:>7.2g}  {verdict}"
    )


def _notes(task: "TaskComparison") -> Iterator[str]:
    if task.only_first or task.only_second:
        yield f"{task.only_first:,} items of A alone and {task.only_second:,} of B alone do not count"
    yield from task.notes


def _divergence(found: "Divergence") -> Iterator[str]:
    rows = {
        "KL divergence, mean": (found.kl_nats, "nats a token"),
        "KL divergence, 99th percentile": (found.kl_nats_p99, "nats a token"),
        "same likeliest token": (found.same_best, "of places"),
        "bits per byte, B - A": (found.bits_per_byte_difference, f"from {found.bits_per_byte[0]:.4f}"),
    }
    yield f"Token by token on {found.num_texts:,} texts, {found.num_tokens:,} tokens (95 % intervals over texts):"
    for name, (estimate, unit) in rows.items():
        yield f"{name:32} {estimate.value:>9.5f}  {estimate.low:.5f} to {estimate.high:.5f}  {unit}"
