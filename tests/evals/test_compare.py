"""Two sets of results: nothing is shown between equals, damage is, and what cannot be compared is said."""

from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest

from bise.errors import InputError
from bise.evals.compare import Comparison, Measured, compare_results, failures
from bise.evals.compare_page import write_page
from bise.evals.results import (
    EvaluatedModel,
    Item,
    Protocol,
    Results,
    TaskResult,
    Usage,
    item_id,
    read_results,
    write_items,
    write_results,
)
from bise.evals.statistics import mcnemar

RNG = np.random.default_rng(0)
PROTOCOL = Protocol("likelihood", "bise", "1", 0, "none", 0)
QUESTIONS = TaskResult("quiz", "quiz", "acc", 200, 0.5, True, True, PROTOCOL, date="2026-11-20T10:00:00+00:00")
TEXTS = TaskResult("bits-per-byte", "bits-per-byte-fr", "bits_per_byte", 60, 1.0, False, False, PROTOCOL, "fr")
RIGHT = (RNG.random(200) < 0.6).astype(float)
BITS, SIZES = RNG.normal(1.2, 0.2, 60) * 500, np.full(60, 500.0)


def measured(directory: Path, *tasks: tuple[TaskResult, list[Item]], name: str = "a") -> Measured:
    """Results as `bise eval` leaves them, read back."""
    results = Results(EvaluatedModel(name, "local", "0" * 64), tuple(task for task, _ in tasks))
    write_results(directory, results)
    for task, items in tasks:
        write_items(directory, task.task, items)
    return Measured(read_results(directory), directory)


def items(values: np.ndarray, weights: np.ndarray | None = None, first: int = 0) -> list[Item]:
    """An item for each value."""
    sizes = np.ones(len(values)) if weights is None else weights
    return [
        Item(item_id(str(first + n)), float(v), float(w)) for n, (v, w) in enumerate(zip(values, sizes, strict=True))
    ]


def compared(
    tmp_path: Path, first: list[tuple[TaskResult, list[Item]]], second: list[tuple[TaskResult, list[Item]]]
) -> Comparison:
    return compare_results(measured(tmp_path / "a", *first), measured(tmp_path / "b", *second, name="b"))


def test_a_model_beside_itself_shows_nothing(tmp_path: Path) -> None:
    tasks = [(QUESTIONS, items(RIGHT)), (TEXTS, items(BITS, SIZES))]
    found = compared(tmp_path, tasks, tasks)
    for task in found.tasks:
        assert (task.difference.value, task.difference.low, task.difference.high) == (0.0, 0.0, 0.0)
        assert (task.p_corrected, task.verdict, task.first) == (1.0, "no difference shown", task.second)
    assert failures(found, {"bits_per_byte": 0.0}) == []


def test_damage_is_shown_and_fails(tmp_path: Path) -> None:
    damaged = RIGHT * (RNG.random(200) < 0.7)
    found = compared(
        tmp_path,
        [(QUESTIONS, items(RIGHT)), (TEXTS, items(BITS, SIZES))],
        [(QUESTIONS, items(damaged)), (TEXTS, items(BITS * 1.03, SIZES))],
    )
    quiz, texts = found.tasks
    assert (quiz.test, quiz.verdict, texts.test, texts.verdict) == ("McNemar", "worse", "random signs", "worse")
    assert quiz.p == mcnemar(RIGHT > 0, damaged > 0)
    assert quiz.difference.value == pytest.approx(damaged.mean() - RIGHT.mean())
    assert texts.difference.value == pytest.approx(0.03 * BITS.sum() / SIZES.sum())
    assert [problem.split()[0] for problem in failures(found, {})] == ["quiz", "bits-per-byte-fr"]
    turned = compared(
        tmp_path / "turned",
        [(QUESTIONS, items(damaged)), (TEXTS, items(BITS * 1.03, SIZES))],
        [(QUESTIONS, items(RIGHT)), (TEXTS, items(BITS, SIZES))],
    )
    assert {task.verdict for task in turned.tasks} == {"better"}
    assert failures(turned, {}) == []


def test_the_order_of_items_does_not_matter(tmp_path: Path) -> None:
    damaged = items(RIGHT * (RNG.random(200) < 0.9))
    found = compared(tmp_path / "1", [(QUESTIONS, items(RIGHT))], [(QUESTIONS, damaged)])
    turned = compared(tmp_path / "2", [(QUESTIONS, items(RIGHT)[::-1])], [(QUESTIONS, damaged)])
    assert found.tasks == turned.tasks


def test_items_of_one_side_do_not_count_and_are_told(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        [(QUESTIONS, items(RIGHT))],
        [(QUESTIONS, [*items(RIGHT[50:], first=50), *items(RIGHT[:7], first=900)])],
    )
    (task,) = found.tasks
    assert (task.difference.num_items, task.only_first, task.only_second) == (150, 50, 7)
    assert task.first == pytest.approx(RIGHT[50:].mean())


def test_what_means_another_thing_is_not_compared(tmp_path: Path) -> None:
    five = replace(QUESTIONS, protocol=replace(PROTOCOL, num_shots=5))
    found = compared(tmp_path, [(QUESTIONS, items(RIGHT)), (TEXTS, items(BITS, SIZES))], [(five, items(RIGHT))])
    assert found.tasks == ()
    assert found.left_out == {
        "quiz": "the protocols differ: num_shots none and 5",
        "bits-per-byte-fr": "b has no result of it",
    }
    assert len(failures(found, {})) == 2


def test_what_the_first_was_not_asked_is_told_and_does_not_fail(tmp_path: Path) -> None:
    both = (TEXTS, items(BITS, SIZES))
    found = compared(tmp_path, [both], [both, (QUESTIONS, items(RIGHT))])
    assert (found.left_out, found.only_second) == ({}, ("quiz",))
    assert failures(found, {}) == []


def test_one_shared_item_or_other_weights_are_no_comparison(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        [(QUESTIONS, items(RIGHT)), (TEXTS, items(BITS, SIZES))],
        [(QUESTIONS, items(RIGHT[:1])), (TEXTS, items(BITS, SIZES + 1))],
    )
    assert found.left_out["quiz"] == "1 of 200 and 1 items are shared, and two are needed"
    assert "other weights" in found.left_out["bits-per-byte-fr"]


def test_another_context_is_told(tmp_path: Path) -> None:
    other = replace(TEXTS, protocol=replace(PROTOCOL, context=512))
    (task,) = compared(tmp_path, [(TEXTS, items(BITS, SIZES))], [(other, items(BITS, SIZES))]).tasks
    assert task.notes == ("measured otherwise: context none and 512",)


def test_many_tasks_are_corrected_for(tmp_path: Path) -> None:
    names = [f"quiz-{n}" for n in range(20)]
    first = [(replace(QUESTIONS, task=name), items((RNG.random(60) < 0.5).astype(float))) for name in names]
    second = [(replace(QUESTIONS, task=name), items((RNG.random(60) < 0.5).astype(float))) for name in names]
    found = compared(tmp_path, first, second)
    assert all(task.p_corrected >= task.p for task in found.tasks)
    assert min(task.p_corrected for task in found.tasks) == pytest.approx(
        min(1.0, 20 * min(task.p for task in found.tasks))
    )


def test_a_bound_forgives_what_is_small_and_holds_for_the_whole_interval(tmp_path: Path) -> None:
    found = compared(tmp_path, [(TEXTS, items(BITS, SIZES))], [(TEXTS, items(BITS * 1.002, SIZES))])
    assert found.tasks[0].verdict == "worse"
    assert failures(found, {}) != []
    assert failures(found, {"bits_per_byte": 0.005}) == []
    assert failures(found, {"bits-per-byte-fr": 0.001}) != []
    unsure = compared(
        tmp_path / "unsure", [(TEXTS, items(BITS, SIZES))], [(TEXTS, items(BITS + RNG.normal(0, 40, 60), SIZES))]
    )
    assert unsure.tasks[0].verdict == "no difference shown"
    assert "may be worse by" in failures(unsure, {"bits_per_byte": 0.005})[0]


def test_a_bound_on_nothing_is_an_error(tmp_path: Path) -> None:
    found = compared(tmp_path, [(TEXTS, items(BITS, SIZES))], [(TEXTS, items(BITS, SIZES))])
    with pytest.raises(InputError, match=r"gate\.kl_nats bounds nothing.*bits_per_byte"):
        failures(found, {"kl_nats": 0.1})


def test_costs_are_summed_by_currency(tmp_path: Path) -> None:
    paid = [
        (replace(QUESTIONS, task=name, usage=Usage(cost=cost)), items(RIGHT))
        for name, cost in (("a", "0.2500 EUR"), ("b", "0.5000 EUR"), ("c", ""))
    ]
    found = compared(tmp_path, paid, paid)
    assert found.costs == ("0.7500 EUR", "0.7500 EUR")
    assert found.dates[0] == "2026-11-20T10:00:00+00:00"


def test_the_page_tells_every_figure_and_escapes_names(tmp_path: Path) -> None:
    sneaky = "<script>alert(1)</script>"
    named = [(replace(QUESTIONS, task="quiz"), items(RIGHT)), (TEXTS, items(BITS, SIZES))]
    first = measured(tmp_path / "a", *named, (replace(TEXTS, task="gone"), items(BITS, SIZES)), name=sneaky)
    second = measured(
        tmp_path / "b", *[(task, items_) for task, items_ in named[:1]], (TEXTS, items(BITS * 1.03, SIZES))
    )
    found = compare_results(first, second)
    problems = failures(found, {})
    write_page(tmp_path / "deep" / "page.html", found, problems)
    written = (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    assert sneaky not in written
    assert "&lt;script&gt;" in written
    texts = next(task for task in found.tasks if task.task == "bits-per-byte-fr")
    for figure in (
        f"{texts.first:.4f}",
        f"{texts.second:.4f}",
        f"{texts.difference.value:+.4f}",
        "no difference shown",
    ):
        assert figure in written
    assert "a has no result of it" in written
    assert all(escape(problem) in written for problem in problems)
    assert written.count('<svg class="intervals"') == 2
