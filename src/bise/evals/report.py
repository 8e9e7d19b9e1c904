"""The report of an evaluation: scores as the announcements of models print them, with what such tables leave out.

Rows are tasks with their protocol, columns are models. Every figure stands with its 95 % interval, and figures that guessing
would get are marked. What models wrote is shown with what was expected.
"""

from collections import defaultdict
from collections.abc import Sequence
from html import escape
from pathlib import Path

from bise.evals import parity
from bise.evals.parity import parity_of
from bise.evals.parity_section import parity_section
from bise.evals.results import Item, Protocol, Results, TaskResult, read_items
from bise.evals.score_plot import Point, PointRow, score_plot
from bise.evals.statistics import half_width
from bise.page import legend, page, tiles
from bise.train import curves

REPORT = "report.html"
_STYLES = [Path(__file__).with_name(name) for name in ("report.css", "interval_plot.css")]
_PALETTE = ("duplicates", "quality", "kept", "repetition", "language", "lists")
_MOST_SHOWN = 4  # answers of a task
_LONGEST_ANSWER = 400  # characters


def write_report(directory: Path, results: Results, beside: Sequence[Results] = ()) -> Path:
    """Write report.html into a directory of results; other models' results stand beside these. Returns its path."""
    models = (results, *beside)
    names = list(dict.fromkeys(task.task for model in models for task in model.tasks))
    style = "".join(path.read_text(encoding="utf-8") for path in (*_STYLES, Path(curves.__file__).with_suffix(".css")))
    title = f"Evaluation: {', '.join(model.model.name for model in models)}"
    sections = (
        f"<h1>{escape(title)}</h1>",
        _head(results),
        _plots(models, names),
        _table(models, names),
        parity_section(parity_of(directory, results)),
        _parts(directory, results),
        _answers(directory, results),
        _protocols(results),
        _models(models),
    )
    path = directory / REPORT
    path.write_text(page(title, sections, style), encoding="utf-8")
    return path


def _head(results: Results) -> str:
    usages = [task.usage for task in results.tasks]
    shown = [
        (f"{len(results.tasks)}", "scores"),
        (f"{sum(task.n for task in results.tasks):,}", "questions and documents"),
        (f"{sum(usage.num_prompt_tokens for usage in usages):,}", "tokens read"),
        (f"{sum(usage.num_completion_tokens for usage in usages):,}", "tokens written"),
        (_duration(sum(usage.seconds for usage in usages)), "of measuring"),
    ]
    costs = [usage.cost.split() for usage in usages if usage.cost]
    if costs:
        shown.append((f"{sum(float(amount) for amount, _ in costs):,.2f} {costs[0][1]}", "cost"))
    at_chance = sum(bool(task.at_chance) for task in results.tasks)
    with_chance = sum(task.at_chance is not None for task in results.tasks)
    words = f"Of {with_chance} scores that guessing could get, {at_chance} cannot be distinguished from it."
    return tiles(shown) + (f'<p class="warning">{words}</p>' if at_chance else "")


def _plots(models: Sequence[Results], names: Sequence[str]) -> str:
    colours = [(_PALETTE[index % len(_PALETTE)], model.model.name) for index, model in enumerate(models)]
    cards = []
    for title, wanted, unit in (("Bits per byte, lower is better", False, ""), ("Scores, higher is better", True, "")):
        rows = [row for name in names if (row := _point_row(models, name, higher_is_better=wanted)).points]
        if rows:
            words = f"{title}: " + "; ".join(f"{row.name} {row.points[0].value:.3f}" for row in rows)
            cards.append(f'<div class="card wide"><h3>{title}</h3>{score_plot(rows, words, unit=unit)}</div>')
    if not cards:
        return ""
    hint = "Bars are 95 % intervals; a dashed line is what guessing gets."
    return f'<h2>At a glance</h2><p class="quiet">{hint}</p>{legend(colours)}{"".join(cards)}'


def _point_row(models: Sequence[Results], name: str, *, higher_is_better: bool) -> PointRow:
    points, chance = [], None
    for index, model in enumerate(models):
        task = model.task(name)
        # Parity has scales and a section of its own.
        if task is not None and task.suite != parity.NAME and task.higher_is_better is higher_is_better:
            chance = task.chance
            colour = _PALETTE[index % len(_PALETTE)]
            points.append(Point(model.model.name, task.value, half_width(task.standard_error or 0.0), colour))
    return PointRow(name, points, chance)


def _table(models: Sequence[Results], names: Sequence[str]) -> str:
    head = "".join(f'<th class="number">{escape(model.model.name)}</th>' for model in models)
    rows = []
    for name in names:
        found = [model.task(name) for model in models]
        first = next(task for task in found if task is not None)
        cells = "".join(_cell(task, first) for task in found)
        rows.append(
            f'<tr><td>{escape(name)}<span class="quiet">{escape(_in_words(first))}</span></td>'
            f'<td class="number">{_chance(first)}</td>{cells}</tr>'
        )
    body = f'<thead><tr><th>task</th><th class="number">guessing</th>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
    return (
        f'<h2>Scores</h2><div class="frame" tabindex="0" role="region" aria-label="Scores"><table>{body}</table></div>'
    )


def _cell(task: TaskResult | None, first: TaskResult) -> str:
    if task is None:
        return '<td class="number">–</td>'
    notes = [
        f"± {_shown(half_width(task.standard_error), task)}" if task.standard_error is not None else "",
        f"n {task.n:,}",
    ]
    if task.minimum_detectable_effect is not None:
        notes.append(f"detects {_shown(task.minimum_detectable_effect, task)}")
    if task.at_chance:
        notes.append("not distinguishable from chance")
    elif task.chance is not None and task.value < task.chance:
        notes.append("below chance")
    if _comparable(task.protocol) != _comparable(first.protocol):
        notes.append("other protocol: not comparable")
    told = ", ".join(filter(None, notes))
    return f'<td class="number"><b>{_shown(task.value, task)}</b><span class="quiet">{escape(told)}</span></td>'


def _comparable(protocol: Protocol) -> tuple[object, ...]:
    return (protocol.scoring, protocol.num_shots, protocol.template, protocol.task_version, protocol.data)


def _shown(value: float, task: TaskResult) -> str:
    return f"{100 * value:.1f}" if task.higher_is_better else f"{value:.3f}"


def _chance(task: TaskResult) -> str:
    return _shown(task.chance, task) if task.chance is not None else ""


def _in_words(task: TaskResult) -> str:
    protocol = task.protocol
    scored = {"likelihood": "scored by likelihood", "generation": "scored on what is written"}[protocol.scoring]
    shots = f"{protocol.num_shots}-shot" if protocol.num_shots else "no examples"
    template = "chat template" if protocol.template == "chat" else ""
    metric = {"acc": "% right", "exact_match": "% right", "probability": "% of probability"}.get(
        task.metric, task.metric
    )
    limited = f"{task.n:,} drawn" if protocol.limit is not None and protocol.limit <= task.n else "all"
    parts = (
        metric.replace("_", " "),
        shots if task.higher_is_better else "",
        scored,
        template,
        protocol.harness,
        limited,
    )
    return ", ".join(filter(None, (*parts, task.language)))


def _parts(directory: Path, results: Results) -> str:
    """Tasks in parts: subjects, paradigms."""
    shown = []
    for task in results.tasks:
        groups: dict[str, list[Item]] = defaultdict(list)
        for item in read_items(directory, task.task):
            if item.group:
                groups[item.group].append(item)
        if groups:
            shown.append(_details(task, groups))
    return f"<h2>By part</h2>{''.join(shown)}" if shown else ""


def _details(task: TaskResult, groups: dict[str, list[Item]]) -> str:
    scores = {name: sum(item.value for item in items) / len(items) for name, items in groups.items()}
    rows = "".join(
        f'<tr><td>{escape(name.replace("_", " "))}</td><td class="number">{100 * scores[name]:.1f}</td>'
        f'<td class="number">{len(groups[name]):,}</td></tr>'
        for name in sorted(scores, key=lambda name: -scores[name])
    )
    head = '<tr><th>part</th><th class="number">score</th><th class="number">n</th></tr>'
    return (
        f"<details><summary>{escape(task.task)}: {len(groups)} parts</summary>"
        f"<table><thead>{head}</thead><tbody>{rows}</tbody></table></details>"
    )


def _answers(directory: Path, results: Results) -> str:
    shown = []
    for task in results.tasks:
        if task.protocol.scoring == "generation":
            items = read_items(directory, task.task)[:_MOST_SHOWN]
            shown.append(f"<details><summary>{escape(task.task)}</summary>{''.join(map(_answer, items))}</details>")
    return f"<h2>What was answered</h2>{''.join(shown)}" if shown else ""


def _answer(item: Item) -> str:
    said = item.answer if len(item.answer) <= _LONGEST_ANSWER else item.answer[:_LONGEST_ANSWER] + "…"
    expected = f"<p>expected: {escape(item.expected)}</p>" if item.expected else ""
    return (
        f'<div class="sample"><p>{"right" if item.value == 1 else f"{item.value:.2g}"} '
        f"<code>{escape(item.id)}</code></p><p>{escape(said) or '(nothing)'}</p>{expected}</div>"
    )


def _protocols(results: Results) -> str:
    rows = "".join(
        f"<tr><td>{escape(task.task)}</td><td>{escape(_protocol(task))}</td>"
        f"<td>{''.join(f'<div>{escape(f.path)} <code>{f.sha256[:16]}</code></div>' for f in task.protocol.data)}</td></tr>"
        for task in results.tasks
    )
    head = "<tr><th>task</th><th>how</th><th>data</th></tr>"
    return (
        '<h2>Protocols</h2><div class="frame" tabindex="0" role="region" aria-label="Protocols">'
        f"<table><thead>{head}</thead><tbody>{rows}</tbody></table></div>"
    )


def _protocol(task: TaskResult) -> str:
    protocol = task.protocol
    known = {
        "seed": protocol.seed,
        "limit": protocol.limit,
        "most tokens": protocol.max_tokens,
        "context": protocol.context,
        "task version": protocol.task_version,
        "bise": protocol.bise,
        "measured": task.date,
    }
    told = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    return " ".join(filter(None, (f"{told}.", task.note)))


def _models(models: Sequence[Results]) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.model.name)}</td><td>{one.model.kind}</td>"
        f"<td>{escape(one.model.url)}<code>{one.model.sha256}</code></td></tr>"
        for one in models
    )
    return f"<h2>Models</h2><table><tbody>{rows}</tbody></table>"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"
