"""The page of a comparison: what differs, drawn with intervals, and every figure in a table."""

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bise.evals.compare import Comparison, TaskComparison, Verdict
from bise.evals.divergence import Divergence
from bise.evals.interval_plot import Row, interval_plot
from bise.evals.results import EvaluatedModel
from bise.page import legend, page, tiles
from bise.train import curves

_COLOURS = {"better": "kept", "worse": "quality", "no difference shown": "mix"}


def write_page(path: Path, comparison: Comparison, failures: Sequence[str]) -> None:
    """Write the page; `failures` are why the second model does not pass the gate."""
    style = "".join(
        sheet.read_text(encoding="utf-8")
        for sheet in (Path(__file__).with_name("interval_plot.css"), Path(curves.__file__).with_suffix(".css"))
    )
    title = f"{comparison.second.name} beside {comparison.first.name}"
    sections = (
        f"<h1>{escape(title)}</h1>",
        _head(comparison),
        *(f'<p class="warning">Worse: {escape(problem)}</p>' for problem in failures),
        _differences(comparison.tasks),
        _table(comparison.tasks),
        _divergence(comparison.divergence),
        _left_out(comparison),
        _models(comparison),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(title, sections, style), encoding="utf-8")


def _head(comparison: Comparison) -> str:
    verdicts = [task.verdict for task in comparison.tasks]
    shown = [(str(verdicts.count(verdict)), words) for verdict, words in _counts(comparison.second.name)]
    return tiles(shown) if verdicts else ""


def _counts(name: str) -> tuple[tuple[Verdict, str], ...]:
    return (
        ("better", f"tasks on which {name} is better"),
        ("worse", f"tasks on which {name} is worse"),
        ("no difference shown", "tasks that show no difference"),
    )


def _differences(tasks: Sequence[TaskComparison]) -> str:
    """A plot for each metric, since they have scales of their own."""
    by_metric: dict[tuple[str, bool], list[TaskComparison]] = defaultdict(list)
    for task in tasks:
        by_metric[task.metric, task.higher_is_better].append(task)
    cards = []
    for (metric, higher_is_better), found in by_metric.items():
        rows = [
            Row(task.task, each.value, each.low, each.high, f"{each.value:+.4f}", _COLOURS[task.verdict])
            for task in found
            for each in (task.difference,)
        ]
        title = f"{metric.replace('_', ' ')}, B − A; {'higher' if higher_is_better else 'lower'} is better"
        words = f"{title}: " + ", ".join(f"{row.name} {row.told}" for row in rows)
        cards.append(f'<div class="card"><h3>{escape(title)}</h3>{interval_plot(rows, 0.0, words)}</div>')
    colours = ((colour, f"B: {verdict}") for verdict, colour in _COLOURS.items())
    hint = "Bars are 95 % intervals, paired by item; colours follow the test, corrected for the number of tasks."
    return f'<h2>Differences</h2><p class="quiet">{hint}</p>{legend(colours)}{"".join(cards)}' if cards else ""


def _table(tasks: Sequence[TaskComparison]) -> str:
    names = ("n", "A", "B", "B − A", "95 %", "p", "p corrected", "detects")
    head = "".join(f'<th class="number">{name}</th>' for name in names)
    body = "".join(_row(task) for task in tasks)
    about = (
        "p is of McNemar's exact test on right and wrong answers, and of random signs of the differences otherwise; the "
        "correction is Holm's. “Detects” is the smallest true difference that would have been found four times in five."
    )
    heads = f'<tr><th>task</th>{head}<th class="number">B is</th></tr>'
    table = f"<table><thead>{heads}</thead><tbody>{body}</tbody></table>"
    framed = f'<div class="frame" tabindex="0" role="region" aria-label="Tasks">{table}</div>'
    return f'<h2>Tasks</h2>{framed}<p class="quiet">{about}</p>' if tasks else ""


def _row(task: TaskComparison) -> str:
    found = task.difference
    cells = (
        f"{found.num_items:,}",
        f"{task.first:.4f}",
        f"{task.second:.4f}",
        f"{found.value:+.4f}",
        f"{found.low:+.4f} to {found.high:+.4f}",
        f"{task.p:.2g}",
        f"{task.p_corrected:.2g}",
        f"{task.minimum_detectable_effect:.4f}" if task.minimum_detectable_effect else "–",
    )
    notes = list(task.notes)
    if task.only_first or task.only_second:
        notes.append(f"{task.only_first:,} items of A alone and {task.only_second:,} of B alone do not count")
    told = f'<div class="quiet">{escape("; ".join(notes))}</div>' if notes else ""
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    return f'<tr><td>{escape(task.task)}{told}</td>{numbers}<td class="number">{task.verdict}</td></tr>'


def _divergence(found: Divergence | None) -> str:
    if found is None:
        return ""
    shown = (
        ("KL divergence, mean", found.kl_nats, "nats a token"),
        ("KL divergence, 99th percentile", found.kl_nats_p99, "nats a token"),
        ("same likeliest token", found.same_best, "of places"),
        ("bits per byte, B − A", found.bits_per_byte_difference, f"from {found.bits_per_byte[0]:.4f}"),
    )
    rows = "".join(
        f'<tr><td>{name}</td><td class="number">{each.value:.5f}</td>'
        f'<td class="number">{each.low:.5f} to {each.high:.5f}</td><td>{unit}</td></tr>'
        for name, each, unit in shown
    )
    about = (
        f"The next token's distribution after each of {found.num_tokens:,} tokens of {found.num_texts:,} texts; intervals are "
        "95 %, over texts."
    )
    return f'<h2>Token by token</h2><p class="quiet">{about}</p><table><tbody>{rows}</tbody></table>'


def _left_out(comparison: Comparison) -> str:
    rows = [f"<tr><td>{escape(name)}</td><td>{escape(why)}</td></tr>" for name, why in comparison.left_out.items()]
    rows += [f"<tr><td>{escape(name)}</td><td>only B was measured on it</td></tr>" for name in comparison.only_second]
    return f"<h2>Not compared</h2><table><tbody>{''.join(rows)}</tbody></table>" if rows else ""


def _models(comparison: Comparison) -> str:
    head = "<tr><th></th><th>model</th><th>where</th><th>measured</th><th>cost</th></tr>"
    sides = zip("AB", (comparison.first, comparison.second), comparison.dates, comparison.costs, strict=True)
    rows = "".join(
        f"<tr><td>{letter}</td><td>{escape(model.name)}{f', {model.bits} bits' if model.bits else ''}</td>"
        f"<td>{_place(model)}</td><td>{escape(date[:10])}</td><td>{escape(cost) or 'not stated'}</td></tr>"
        for letter, model, date, cost in sides
    )
    return f"<h2>Models</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _place(model: EvaluatedModel) -> str:
    return escape(model.url) if model.url else f"this machine, <code>{model.sha256}</code>"
