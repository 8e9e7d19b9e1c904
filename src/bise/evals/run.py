"""Run suites on a model: one task after the other, each kept as soon as it is done, so that a stopped run goes on.

Two scores of one item list are compared elsewhere; here each score gets its standard error, what it can be told from, and
whether it can be told from guessing.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bise import __version__
from bise.errors import InputError
from bise.evals.api import Api
from bise.evals.data import data_files
from bise.evals.report import write_report
from bise.evals.results import (
    RESULTS,
    Item,
    Protocol,
    Results,
    TaskResult,
    Usage,
    columns,
    read_results,
    write_items,
    write_results,
)
from bise.evals.statistics import half_width, minimum_detectable_effect, ratio, standard_error
from bise.evals.suites import SUITES, check_suites
from bise.evals.target import Target
from bise.evals.tasks import EvalSettings, Prices, Task
from bise.runs import MANIFEST, Input, Manifest, RunDirectory

Advance = Callable[[int, int, str], None]  # done, of how many, of which task


def evaluate(
    target: Target, suites: Sequence[str], settings: EvalSettings, advance: Advance
) -> tuple[Results, Manifest]:
    """Run suites in the run directory ROOT/eval/NAME; goes on where the same command was stopped.

    Raises:
        InputError: the run is finished already, or a part of it is another model's; or what `run_suites` raises.
    """
    run = RunDirectory(settings.root, "eval", run_name(target, suites, settings))
    beside = [read_results(directory) for directory in settings.beside]
    results = run_suites(target, suites, settings, run.path, advance)
    write_report(run.path, results, beside)
    stamp = target.described.sha256
    inputs = [Input("model", f"model/{target.described.name}", stamp)] if stamp else []
    data = {(file.path, file.sha256) for task in results.tasks for file in task.protocol.data}
    inputs += [Input("file", path, sha256) for path, sha256 in sorted(data)]
    config = asdict(settings) | {"suites": list(suites), "model": target.described.name}
    return results, run.finish(config, inputs, {task.task: task.value for task in results.tasks})


def finished(target: Target, suites: Sequence[str], settings: EvalSettings) -> Results | None:
    """The results of the run that `evaluate` would make, if it is finished.

    Raises:
        InputError: it is another model's, or was measured by another protocol.
    """
    path = settings.root / "eval" / run_name(target, suites, settings)
    if not (path / MANIFEST).is_file():
        return None
    results, settings = _before(path, target), _resolved(settings, target)
    for task in (task for name in check_suites(suites) for task in SUITES[name].tasks(settings)):
        known = results.task(task.name)
        if known is None or known.protocol != _protocol(task, settings, target):
            raise InputError(
                f"{path} is a finished run that measured {task.name} otherwise, or not at all. Choose another place with "
                "--set root=…, or delete it."
            )
    return results


def run_name(target: Target, suites: Sequence[str], settings: EvalSettings) -> str:
    """The name that was set, or one of the model and the suites."""
    model = target.described.name.replace(":", "-").replace("/", "-")
    return settings.name or "-".join((model, *suites))


def run_suites(
    target: Target, suites: Sequence[str], settings: EvalSettings, directory: Path, advance: Advance
) -> Results:
    """Measure every task of the suites that the directory does not hold yet.

    Raises:
        NotFoundError: a suite is unknown, or a file is not there.
        InputError: a file is damaged, or the directory holds another model's results.
        UnavailableError: the server is gone, or cannot do what a task needs. What was finished is kept.
    """
    settings = _resolved(settings, target)
    tasks = [task for name in check_suites(suites) for task in SUITES[name].tasks(settings)]
    results, api = _before(directory, target), Api(target)
    for task in tasks:
        protocol = _protocol(task, settings, target)
        known = results.task(task.name)
        if known is not None and known.protocol == protocol:
            continue
        advance(0, 1, task.name)
        api.used()
        items = task.measure(api, settings, lambda done, total, name=task.name: advance(done, total, name))  # type: ignore[misc]
        result = make_result(task, items, protocol, _priced(api.used(), settings.price))
        write_items(directory, task.name, items)
        others = tuple(each for each in results.tasks if each.task != task.name)
        results = replace(results, tasks=(*others, result))
        write_results(directory, results)
    return results


def make_result(task: Task, items: Sequence[Item], protocol: Protocol, usage: Usage) -> TaskResult:
    """The score that items make, and what it is worth."""
    if not items:
        raise InputError(f"{task.name} has no items: {', '.join(map(str, task.files))} hold none that can be asked.")
    values, weights = map(np.array, columns(items))
    is_mean = bool((weights == 1).all())
    value = float(values.sum() / weights.sum())
    error = standard_error(values) if is_mean else ratio(values, weights).standard_error
    known = len(items) > 1 and math.isfinite(error)
    if known and task.is_binary and error == 0:  # all right or all wrong: the rule of three bounds what was not seen
        error = 1.5 / len(items)
    guesses = [item.chance for item in items if item.chance is not None]
    chance = sum(guesses) / len(guesses) if len(guesses) == len(items) else None
    at_chance = abs(value - chance) <= half_width(error) if known and chance is not None else None
    return TaskResult(
        task.suite,
        task.name,
        task.metric,
        len(items),
        value,
        task.higher_is_better,
        task.is_binary,
        protocol,
        task.language,
        error if known else None,
        chance,
        minimum_detectable_effect(error) if known else None,
        at_chance,
        datetime.now(UTC).isoformat(timespec="seconds"),
        usage,
        _note(task, items),
    )


def _note(task: Task, items: Sequence[Item]) -> str:
    num_cut = sum(item.cut for item in items)
    cut = (
        f"{num_cut:,} of {len(items):,} prompts did not fit into the context: texts lost their beginnings, chats count as wrong."
        if num_cut
        else ""
    )
    return " ".join(filter(None, (task.note, cut)))


def _resolved(settings: EvalSettings, target: Target) -> EvalSettings:
    """The settings with what follows from the target."""
    return settings if settings.chat is not None else replace(settings, chat=target.described.kind == "remote")


def _before(directory: Path, target: Target) -> Results:
    """What a directory holds already."""
    if not (directory / RESULTS).is_file():
        return Results(target.described, ())
    found = read_results(directory)
    if found.model != target.described:
        raise InputError(
            f"{directory} holds results of {found.model.name} ({found.model.sha256[:12] or found.model.url}), not of this "
            "model. Choose another name with --set name=…, or delete it."
        )
    return found


def _protocol(task: Task, settings: EvalSettings, target: Target) -> Protocol:
    return Protocol(
        scoring=task.scoring,
        harness=task.harness,
        task_version=task.version,
        num_shots=task.num_shots,
        template=task.template,
        seed=settings.seed,
        limit=settings.limit,
        max_tokens=target.most_tokens(task.max_tokens) if task.max_tokens else None,
        context=target.context_length if task.scoring == "likelihood" else None,
        bise=__version__,
        data=data_files(task.files, settings.data.texts or settings.data.root),
    )


def _priced(usage: Usage, price: Prices) -> Usage:
    if not price.prompt and not price.completion:
        return usage
    cost = (price.prompt * usage.num_prompt_tokens + price.completion * usage.num_completion_tokens) / 1e6
    return replace(usage, cost=f"{cost:.4f} {price.currency}")
