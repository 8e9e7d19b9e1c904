"""Two models on the same items: what differs, by how much, and how sure that is.

Only items that both models answered count. Each task gets the difference with its interval (paired bootstrap over
items), a p-value (McNemar's exact test on right and wrong, random signs of the differences otherwise), and Holm's
correction over all tasks of the comparison. A difference that the correction does not leave below 5 % is not shown; that
is not the same as no difference, so the smallest one that would have been found four times in five stands beside it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from bise.errors import InputError
from bise.evals.divergence import Divergence
from bise.evals.results import EvaluatedModel, Item, Protocol, Results, TaskResult, read_items
from bise.evals.statistics import (
    ALPHA,
    Estimate,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_difference,
    sign_flip,
)

Verdict = Literal["better", "worse", "no difference shown"]
# Fields of a protocol that make a score mean another thing, and those that a reader must only be told of.
_DECISIVE = ("scoring", "task_version", "num_shots", "template", "max_tokens")
_TOLD = ("harness", "context", "bise")
_KL = "kl_nats"


@dataclass(frozen=True)
class Measured:
    """One side: results and where their items are."""

    results: Results
    directory: Path


@dataclass(frozen=True)
class TaskComparison:
    """The second model beside the first on one task's shared items."""

    suite: str
    task: str
    metric: str
    language: str
    higher_is_better: bool
    first: float  # score on the shared items
    second: float
    difference: Estimate  # second minus first
    only_first: int  # items that the other has no answer to
    only_second: int
    test: Literal["McNemar", "random signs"]
    p: float
    p_corrected: float  # by Holm, over the tasks of the comparison
    minimum_detectable_effect: float
    verdict: Verdict  # of the second model
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Everything that was found about two models."""

    first: EvaluatedModel
    second: EvaluatedModel
    tasks: tuple[TaskComparison, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)  # tasks that cannot be compared, and why
    only_second: tuple[str, ...] = ()  # tasks that the first model has no result of
    divergence: Divergence | None = None
    dates: tuple[str, str] = ("", "")  # of the last task of each; UTC, ISO 8601
    costs: tuple[str, str] = ("", "")  # where prices were stated


def compare_results(first: Measured, second: Measured, seed: int = 0) -> Comparison:
    """Compare the tasks of two results directories.

    Raises:
        InputError: a log of items is damaged.
        NotFoundError: one is missing.
    """
    left_out: dict[str, str] = {}
    found: list[TaskComparison] = []
    for one in first.results.tasks:
        other = second.results.task(one.task)
        compared = _compare_task(one, other, first, second, seed)
        if isinstance(compared, str):
            left_out[one.task] = compared
        else:
            found.append(compared)
    return Comparison(
        first.results.model,
        second.results.model,
        _corrected(found),
        left_out,
        tuple(task.task for task in second.results.tasks if first.results.task(task.task) is None),
        dates=(_date(first), _date(second)),
        costs=(_cost(first), _cost(second)),
    )


def _obstacle(one: TaskResult, other: TaskResult) -> str | None:
    """Why a task cannot be compared, if so."""
    if one.metric != other.metric:
        return f"the metrics differ: {one.metric} and {other.metric}"
    differing = _differing(one.protocol, other.protocol, _DECISIVE)
    return f"the protocols differ: {differing}" if differing else None


def _differing(one: Protocol, other: Protocol, names: Iterable[str]) -> str:
    pairs = ((name, getattr(one, name), getattr(other, name)) for name in names)
    return ", ".join(f"{name} {a or 'none'} and {b or 'none'}" for name, a, b in pairs if a != b)


def _items(side: Measured, task: str) -> dict[str, Item]:
    return {item.id: item for item in read_items(side.directory, task)}


def _compare_task(
    one: TaskResult, other: TaskResult | None, first: Measured, second: Measured, seed: int
) -> TaskComparison | str:
    """The comparison of one task, uncorrected; or why there is none."""
    if other is None:
        return f"{second.results.model.name} has no result of it"
    if (obstacle := _obstacle(one, other)) is not None:
        return obstacle
    sides = [_items(side, one.task) for side in (first, second)]
    shared = sorted(sides[0].keys() & sides[1].keys())
    if len(shared) < 2:
        return f"{len(shared)} of {len(sides[0])} and {len(sides[1])} items are shared, and two are needed"
    if any(sides[0][key].weight != sides[1][key].weight for key in shared):
        return "equal items have other weights: they were made by versions that score otherwise"
    first_items, second_items = ([side[key] for key in shared] for side in sides)
    compared = _compare_items(one, other, first_items, second_items, seed)
    return replace(compared, only_first=len(sides[0]) - len(shared), only_second=len(sides[1]) - len(shared))


def _compare_items(
    one: TaskResult, other: TaskResult, first: Sequence[Item], second: Sequence[Item], seed: int
) -> TaskComparison:
    values_2N = np.array([[item.value for item in side] for side in (first, second)])
    weights_N = np.array([item.weight for item in first])
    difference = paired_difference(values_2N[0], values_2N[1], weights_N, seed)
    is_binary = one.is_binary and other.is_binary and bool((weights_N == 1).all())
    p = mcnemar(*(values_2N > 0.5)) if is_binary else sign_flip(values_2N[1] - values_2N[0], seed)
    scores = values_2N.sum(axis=1) / weights_N.sum()
    told = _differing(one.protocol, other.protocol, _TOLD)
    return TaskComparison(
        one.suite,
        one.task,
        one.metric,
        one.language,
        one.higher_is_better,
        float(scores[0]),
        float(scores[1]),
        difference,
        only_first=0,
        only_second=0,
        test="McNemar" if is_binary else "random signs",
        p=p,
        p_corrected=p,
        minimum_detectable_effect=minimum_detectable_effect(difference.standard_error),
        verdict="no difference shown",
        notes=(f"measured otherwise: {told}",) if told else (),
    )


def _corrected(tasks: list[TaskComparison]) -> tuple[TaskComparison, ...]:
    """The same with Holm's correction over all of them, and what then can be said."""
    corrected = holm([task.p for task in tasks])
    return tuple(
        replace(task, p_corrected=p, verdict=_verdict(task, p)) for task, p in zip(tasks, corrected, strict=True)
    )


def _verdict(task: TaskComparison, p: float) -> Verdict:
    if p >= ALPHA:
        return "no difference shown"
    return "better" if (task.difference.value > 0) == task.higher_is_better else "worse"


def _date(side: Measured) -> str:
    return max((task.date for task in side.results.tasks), default="")


def _cost(side: Measured) -> str:
    """The sum of what the tasks cost, if prices were stated, in each currency."""
    sums: dict[str, float] = {}
    for task in side.results.tasks:
        amount, _, currency = task.usage.cost.partition(" ")
        if currency:
            sums[currency] = sums.get(currency, 0.0) + float(amount)
    return ", ".join(f"{amount:.4f} {currency}" for currency, amount in sums.items())


def failures(comparison: Comparison, bounds: Mapping[str, float]) -> list[str]:
    """Why the second model does not pass as no worse than the first; nothing where it passes.

    A bound is the share of the first model's score by which a metric (or a task, by its name) may get worse; what has one
    passes when its whole 95 % interval is within. `kl_nats` bounds the mean divergence itself. What has none fails when
    it is shown to be worse. What the second model was not measured on fails, too: nobody looked.

    Raises:
        InputError: a bound names nothing that was compared.
    """
    known = {name for task in comparison.tasks for name in (task.task, task.metric)}
    known |= {_KL} if comparison.divergence is not None else set()
    unknown = sorted(bounds.keys() - known)
    if unknown:
        raise InputError(f"gate.{unknown[0]} bounds nothing that was compared. There are: {', '.join(sorted(known))}.")
    found = [f"{name} was not compared: {reason}" for name, reason in comparison.left_out.items()]
    for task in comparison.tasks:
        bound = bounds.get(task.task, bounds.get(task.metric))
        problem = _worse(task) if bound is None else _beyond(task, bound)
        found += [problem] if problem else []
    if comparison.divergence is not None and comparison.divergence.kl_nats.high > bounds.get(_KL, np.inf):
        found.append(
            f"the divergence of {_interval(comparison.divergence.kl_nats)} nats reaches beyond gate.{_KL}={bounds[_KL]:g}"
        )
    return found


def _worse(task: TaskComparison) -> str:
    if task.verdict != "worse":
        return ""
    return f"{task.task} is worse by {_interval(task.difference)} (p = {task.p_corrected:.2g} after correction)"


def _beyond(task: TaskComparison, bound: float) -> str:
    most = -task.difference.low if task.higher_is_better else task.difference.high
    allowed = bound * abs(task.first)
    if most <= allowed:
        return ""
    return (
        f"{task.task} may be worse by {most:.4g}: the difference is {_interval(task.difference)}, and gate allows "
        f"{allowed:.4g} ({bound:.2%} of {task.first:.4g})"
    )


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"
