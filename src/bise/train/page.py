"""The report of a training or tuning run: its curves, what it was told, what it was made from, and what it cost."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from bise.page import legend, page, tiles
from bise.runs import Input, RunDirectory
from bise.train.curves import Curve, plot, smoothed

REPORT = "report.html"
_PALETTE = ("duplicates", "quality", "kept", "repetition", "language", "lists", "mix", "dropped")
_UNITS = {"bits_per_byte": "bits per byte", "loss": "nats per token"}


def write_report(
    run: RunDirectory, config: Mapping[str, object], inputs: Sequence[Input], facts: Mapping[str, object]
) -> None:
    """Write `report.html` into a run that has done its steps and has no manifest yet."""
    lines = (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    metrics: list[dict[str, Any]] = [json.loads(line) for line in lines]
    style = Path(__file__).with_name("curves.css").read_text(encoding="utf-8")
    verb = {"train": "Training", "tune": "Tuning"}.get(run.stage, run.stage)
    title = f"{verb}: {run.name}"
    sections = (
        f"<h1>{escape(title)}</h1>",
        _head(facts),
        *(f'<p class="warning">{escape(str(warning))}</p>' for warning in _warnings(facts)),
        _loss(metrics),
        _held_out(metrics, facts),
        _speed(metrics, config),
        _cost(facts),
        _inputs(inputs),
        f"<h2>Recipe</h2><details><summary>As it was resolved</summary><pre>{escape(_toml(config))}</pre></details>",
    )
    (run.path / REPORT).write_text(page(title, sections, style), encoding="utf-8")


def _head(facts: Mapping[str, Any]) -> str:
    shown = [
        (_millions(facts["parameters"]), "parameters"),
        (_millions(facts["tokens"]), "tokens learned from"),
        (f"{facts['steps']:,}", "steps"),
        (_duration(facts["training_seconds"]), "of training"),
        (f"{facts['loss']:.3f}", f"loss of the last steps, {facts['loss_unit']}"),
        (f"{100 * facts['mfu']:.0f} %", "of the peak rate used"),
    ]
    if "cost" in facts:
        shown.append((str(facts["cost"]), "cost"))
    return tiles(shown)


def _warnings(facts: Mapping[str, Any]) -> Iterable[object]:
    worse = facts.get("warnings", ())
    return worse if isinstance(worse, list | tuple) else (worse,)


def _loss(metrics: Sequence[Mapping[str, Any]]) -> str:
    points = [(entry["step"], entry["loss"]) for entry in metrics if "loss" in entry]
    if not points:
        return ""
    curves = [Curve("each step", points, "duplicates", is_faint=True), Curve("mean", smoothed(points), "duplicates")]
    words = f"Training loss from {points[0][1]:.3f} to {points[-1][1]:.3f} over {len(points):,} steps"
    return f'<h2>Loss</h2><p class="quiet">By step; the line is a running mean.</p>{_card(plot(curves, words))}'


def _held_out(metrics: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]) -> str:
    measured = [(entry["step"], _in_words(entry["held_out"])) for entry in metrics if "held_out" in entry]
    before, after = _in_words(facts["held_out_before"]), _in_words(facts["held_out"])
    colours = dict(zip(after, (_PALETTE[n % len(_PALETTE)] for n in range(len(after))), strict=True))
    known = dict.fromkeys(key for kind in after.values() for key in kind)
    keys = sorted(known, key=lambda key: key != _UNITS["bits_per_byte"])
    plots = []
    for key in keys:
        curves = [
            Curve(name, [(step, found[name][key]) for step, found in measured if key in found.get(name, {})], colour)
            for name, colour in colours.items()
        ]
        drawn = plot([curve for curve in curves if curve.points], f"Held-out {key} by step", is_small=True)
        if drawn:
            plots.append(f'<div class="card"><h3>{escape(key)}</h3>{drawn}</div>')
    return (
        '<h2>Held out</h2><p class="quiet">Texts that are never learned from, before the first step and since.</p>'
        f'{legend((colour, name) for name, colour in colours.items())}<div class="plots">{"".join(plots)}</div>'
        f"{_held_out_table(before, after, keys)}"
    )


def _in_words(measures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Measures of each kind of text under names for people; the loss of preferences counts pairs, that of texts tokens."""
    return {
        name: {
            "nats per pair" if key == "loss" and name.startswith("pairs ") else _UNITS.get(key, key): value
            for key, value in found.items()
        }
        for name, found in measures.items()
    }


def _held_out_table(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]], keys: list[str]
) -> str:
    head = "".join(f'<th class="number">{escape(key)}</th>' for key in keys)
    rows = []
    for name, now in after.items():
        then = before.get(name, {})
        cells = (
            f'<td class="number">{then[key]:.3f} → {now[key]:.3f}</td>'
            if key in then and key in now
            else '<td class="number"></td>'
            for key in keys
        )
        rows.append(f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>")
    body = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<div class="frame" tabindex="0" role="region" aria-label="Before and after"><table>{body}</table></div>'


def _speed(metrics: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> str:
    steps = [entry for entry in metrics if "tokens_per_s" in entry]
    learner, key = ("adapter", "embedding") if config.get("adapter") else ("matrices", "matrix")
    rate = config["optimizer"][f"{key}_learning_rate"]
    shown = (
        (
            f"Learning rate of the {learner}",
            [(e["step"], rate * e["learning_rate_factor"]) for e in steps],
            "repetition",
        ),
        ("Tokens a second", smoothed([(e["step"], e["tokens_per_s"]) for e in steps]), "kept"),
        ("Share of the peak rate, per cent", smoothed([(e["step"], 100 * e["mfu"]) for e in steps]), "language"),
    )
    cards = (
        f'<div class="card"><h3>{name}</h3>'
        f"{plot([Curve(name, points, colour)], f'{name} by step', from_zero=True, is_small=True)}</div>"
        for name, points, colour in shown
    )
    return f'<h2>Rates</h2><div class="plots">{"".join(cards)}</div>'


def _cost(facts: Mapping[str, Any]) -> str:
    known = {
        "Operations": f"{facts['flops']:.3e} = {facts['flops_formula']}",
        "Peak rate": f"{facts['peak_flops_per_s'] / 1e9:,.0f} GFLOP/s, of a large matrix product in {facts['precision']}",
        "Time": _duration(facts["training_seconds"]),
        "Energy": f"{facts['energy_kwh']} kWh: {facts['energy_method']}" if "energy_kwh" in facts else "not stated",
        "Cost": facts.get("cost", "not stated"),
        "Machine": facts.get("hardware", ""),
        "Software": facts.get("software", ""),
    }
    rows = "".join(f"<tr><th>{name}</th><td>{escape(_line(value))}</td></tr>" for name, value in known.items() if value)
    return f"<h2>What it took</h2><table><tbody>{rows}</tbody></table>"


def _line(value: object) -> str:
    return (
        ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in value.items()) if isinstance(value, Mapping) else str(value)
    )


def _inputs(inputs: Sequence[Input]) -> str:
    rows = "".join(
        f"<tr><td>{escape(entry.kind)}</td><td>{escape(entry.name)}</td><td><code>{entry.sha256}</code></td></tr>"
        for entry in inputs
    )
    head = "<tr><th>kind</th><th>name</th><th>SHA-256</th></tr>"
    return f"<h2>Made from</h2><table><thead>{head}</thead><tbody>{rows}</tbody></table>"


def _card(drawn: str) -> str:
    return f'<div class="card curve">{drawn}</div>'


def _millions(count: int) -> str:
    return f"{count / 1e6:,.1f} M" if count >= 1e6 else f"{count:,}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def _toml(table: Mapping[str, Any], name: str = "") -> str:
    """A recipe as it could be read again; what is None is left out."""
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines = [f"[{name}]"] if name else []
    lines += [f"{key} = {_value(value)}" for key, value in table.items() if key not in inner and value is not None]
    parts = ["\n".join(lines), *(_toml(value, f"{name}.{key}".lstrip(".")) for key, value in inner.items() if value)]
    return "\n\n".join(parts)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        shown = (f"{json.dumps(key)} = {_value(entry)}" for key, entry in value.items() if entry is not None)
        return "{ " + ", ".join(shown) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False, default=str)
