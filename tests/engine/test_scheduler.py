"""The plan is a pure function of what runs and waits: nobody is starved, and nothing is planned that does not fit."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.engine.scheduler import (
    LEAST_CHUNK,
    Lane,
    Running,
    StepCost,
    View,
    Waiting,
    choose_running,
    divide_step,
    num_pairs,
)
from bise.engine.waiting import Service


def sequence(number: int, **changes: Any) -> Running:
    return Running(
        **{
            "number": number,
            "num_computed": 0,
            "num_left": 1,
            "num_wanted": 0,
            "num_alone": 1,
            "tenant": "",
            "is_batch": False,
            "is_promoted": False,
            **changes,
        }
    )


def lane(*numbers: int, tenant: str = "", is_batch: bool = False, num_served: float = 0, **changes: Any) -> Lane:
    waiting = [
        Waiting(**{"number": n, "num_blocks": 1, "num_tokens": 10, "is_promoted": False, **changes}) for n in numbers
    ]
    return Lane(tenant, is_batch, num_served, tuple(waiting))


def admitted(*lanes: Lane, num_available: int = 100, max_sequences: int = 100) -> tuple[int, ...]:
    return choose_running(View((), lanes, num_available, max_sequences)).admitted


runnings = st.lists(
    st.builds(
        sequence,
        st.integers(0, 999),
        num_computed=st.integers(0, 9000),
        num_left=st.one_of(st.just(1), st.integers(1, 9000)),
        num_wanted=st.integers(0, 1),
        num_alone=st.integers(0, 9),
        is_batch=st.booleans(),
        tenant=st.sampled_from("ab"),
        is_promoted=st.booleans(),
    ),
    max_size=12,
    unique_by=lambda running: running.number,
)
costs = st.builds(StepCost, st.floats(1e-6, 0.05), st.floats(1e-10, 1e-4))


@given(runnings, costs, st.integers(12, 300), st.floats(0.01, 1))
def test_every_answer_gets_its_token_and_prompts_what_time_is_left(
    running: list[Running], cost: StepCost, step_tokens: int, step_s: float
) -> None:
    slices = divide_step(running, cost, step_tokens, step_s)
    counts = dict(slices)
    assert len(counts) == len(slices)
    assert sum(counts.values()) <= step_tokens
    assert all(1 <= count <= running[place].num_left for place, count in slices)
    answers = [place for place, one in enumerate(running) if one.num_left == 1]
    assert all(counts[place] == 1 for place in answers)
    prompts = [place for place, one in enumerate(running) if one.num_left > 1]
    if not prompts:
        return
    oldest = min(prompts, key=lambda place: running[place].number)
    least = min(LEAST_CHUNK, running[oldest].num_left, step_tokens - len(answers))
    assert counts[oldest] >= least, "the oldest prompt always goes on"
    seconds = sum(cost.seconds(count, num_pairs(running[place].num_computed, count)) for place, count in slices)
    allowance = cost.seconds(LEAST_CHUNK, num_pairs(running[oldest].num_computed, LEAST_CHUNK))
    if (answers and len(counts) > len(answers) + 1) or counts[oldest] > least:
        answering = sum(cost.seconds(1, running[place].num_computed + 1) for place in answers)
        budget = max(step_s, 2 * answering) if answers else 0.5
        assert seconds <= (budget + allowance) * 1.001


def test_a_short_prompt_passes_a_long_one_which_keeps_a_quarter() -> None:
    cost = StepCost(1e-3, 0)
    running = [sequence(1, num_left=6000), sequence(2, num_left=50), sequence(3), sequence(4, num_left=400)]
    assert dict(divide_step(running, cost, 1000, 0.201)) == {2: 1, 0: 50, 1: 50, 3: 100}
    full = [sequence(1, num_left=100), sequence(2, num_left=50, is_batch=True), sequence(3, num_left=90)]
    assert dict(divide_step(full, cost, 130, 9)) == {0: 40, 2: 90}


@given(costs, st.integers(0, 100_000), st.floats(0.001, 1))
def test_tokens_in_a_time_take_that_time(cost: StepCost, position: int, seconds: float) -> None:
    count = cost.tokens_in(seconds, position)
    assert cost.seconds(count, num_pairs(position, count)) <= seconds * 1.001 + cost.pair_s * count
    assert cost.seconds(count + 2, num_pairs(position, count + 2)) > seconds * 0.999
    assert cost.tokens_in(-seconds, position) == 0


@given(st.floats(1e-5, 0.01), st.floats(0, 1e-3), st.integers(100, 8000))
def test_steps_of_long_prompts_soon_keep_to_their_time(token_s: float, pair_share: float, prompt: int) -> None:
    machine = StepCost(token_s, token_s * pair_share)
    cost, position, seconds = StepCost(), 0, []
    for _ in range(200):
        count = max(LEAST_CHUNK, min(256, prompt - position, cost.tokens_in(0.2, position)))
        pairs = num_pairs(position, count)
        seconds.append(machine.seconds(count, pairs) if count > LEAST_CHUNK else 0)
        cost = cost.after(count, pairs, machine.seconds(count, pairs))
        position = position + count if position + count < prompt else 0
    assert max(seconds[20:]) < 0.3


def test_a_pause_of_the_machine_is_soon_forgotten() -> None:
    cost = StepCost(2e-3, 0).after(64, 0, 60.0)
    assert cost.token_s < 0.006
    for _ in range(6):
        cost = cost.after(16, 0, 16 * 2e-3)
    assert cost.token_s == pytest.approx(2e-3, rel=0.05)


@given(runnings, st.integers(0, 12))
def test_growth_is_made_room_for_by_the_most_junior(running: list[Running], num_available: int) -> None:
    changes = choose_running(View(tuple(running), (), num_available, 12))
    by_seniority = sorted(running, key=lambda one: (one.is_batch, one.number))
    kept = by_seniority[: len(running) - len(changes.preempted)]
    assert {one.number for one in by_seniority[len(kept) :]} == set(changes.preempted)
    gained = sum(one.num_alone for one in by_seniority[len(kept) :])
    assert len(kept) == min(len(running), 1) or sum(one.num_wanted for one in kept) <= num_available + gained
    if changes.preempted:
        last = by_seniority[len(kept)]
        wanted = sum(one.num_wanted for one in [*kept, last])
        assert wanted > num_available + gained - last.num_alone, "none is preempted without need"


def test_turns_go_to_interactive_requests_of_who_was_served_least() -> None:
    assert admitted(lane(1, 2, is_batch=True), lane(3, 4)) == (3, 4, 1, 2)
    assert admitted(lane(1, 2, tenant="a", num_served=5), lane(3, tenant="b")) == (3, 1, 2)
    assert admitted(lane(1, 2, 3, tenant="a"), lane(4, 5, tenant="b")) == (1, 4, 2, 5, 3)
    assert admitted(lane(1, 2, tenant="a"), lane(9, is_batch=True, is_promoted=True, tenant="a")) == (9, 1, 2)


def test_whose_turn_it_is_waits_until_it_fits_and_none_passes() -> None:
    lanes = (lane(1, num_blocks=20), lane(2, tenant="b", num_served=1))
    running = (sequence(0, tenant="c"),)
    assert choose_running(View(running, lanes, 10, 9)).admitted == ()
    assert choose_running(View(running, lanes, 22, 9)).admitted == (1,)
    assert choose_running(View(running, lanes, 27, 9)).admitted == (1, 2)
    assert choose_running(View((), lanes, 20, 9)).admitted == (1,), "alone it needs no reserve"


def test_an_interactive_request_takes_the_place_of_the_youngest_batch_ones_if_that_suffices() -> None:
    running = tuple(sequence(n, is_batch=True, num_alone=3) for n in (1, 2, 3))
    assert choose_running(View(running, (lane(9),), 99, 3)) == ((3,), (9,))
    assert choose_running(View(running, (lane(9, num_blocks=4),), 2, 9)) == ((3, 2), (9,))
    assert choose_running(View((sequence(0), *running), (lane(9, num_blocks=40),), 2, 9)) == ((), ())
    assert choose_running(View(running, (lane(9, is_batch=True),), 99, 3)) == ((), ())
    assert choose_running(View(running, (lane(9, is_batch=True, is_promoted=True),), 99, 3)) == ((3,), (9,))


def test_a_tenant_with_many_running_gives_way_to_one_with_few_but_not_in_return() -> None:
    running = tuple(sequence(n, tenant="many", num_alone=3) for n in (1, 2, 3))
    assert choose_running(View(running, (lane(8, 9, tenant="few"),), 99, 3)) == ((3,), (8,))
    mixed = (*running[:2], sequence(8, tenant="few"))
    assert choose_running(View(mixed, (lane(9, tenant="few"), lane(3, tenant="many")), 99, 3)) == ((), ())
    assert choose_running(View(running, (lane(8, is_batch=True, tenant="few"),), 99, 3)) == ((), ())
    protected = tuple(one._replace(is_promoted=True) for one in running)
    assert choose_running(View(protected, (lane(8, tenant="few"),), 99, 3)) == ((), ())


@given(
    runnings,
    st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans(), st.sampled_from("ab")), max_size=10),
    st.integers(0, 40),
    st.integers(1, 12),
)
def test_what_is_admitted_fits(
    running: list[Running], arrivals: list[tuple[int, bool, bool, str]], num_available: int, free: int
) -> None:
    num_blocks = {}
    lanes: dict[tuple[str, bool], list[Waiting]] = {}
    for number, (blocks, is_batch, is_promoted, tenant) in enumerate(arrivals, 1000):
        num_blocks[number] = blocks
        lanes.setdefault((tenant, is_batch), []).append(Waiting(number, blocks, 10, is_promoted))
    view = View(
        tuple(running),
        tuple(Lane(tenant, is_batch, 0, tuple(waiting)) for (tenant, is_batch), waiting in lanes.items()),
        num_available,
        len(running) + free,
    )
    changes = choose_running(view)
    assert choose_running(view) == changes
    preempted = [one for one in running if one.number in changes.preempted]
    if sum(one.num_wanted for one in running) <= num_available:
        assert not any(one.is_promoted for one in preempted), "but for others' growth a promoted one is safe"
    kept = [one for one in running if one.number not in changes.preempted]
    assert len(kept) + len(changes.admitted) <= view.max_sequences
    used = sum(num_blocks[number] for number in changes.admitted) + sum(one.num_wanted for one in kept)
    if changes.admitted and kept:
        assert used + len(changes.admitted) <= num_available + sum(one.num_alone for one in preempted)
    if arrivals and not running:
        assert changes.admitted, "somebody always runs"


def test_a_tenant_that_comes_late_has_saved_nothing_up_and_one_that_comes_back_still_owes() -> None:
    service = Service()
    service.begin("a")
    service.charge("a", 100)
    service.begin("b")
    assert service["b"] == 100
    service.charge("b", 50)
    service.end("b")
    service.charge("a", 20)
    service.begin("b")
    assert (service["a"], service["b"]) == (120, 150)


def test_what_idle_tenants_were_served_is_forgotten_when_it_no_longer_counts() -> None:
    service = Service()
    service.begin("a")
    for number in range(100):
        service.begin(f"tenant {number}")
        service.charge("a", 1)
        service.end(f"tenant {number}")
    assert len(service) <= 2
    service.end("a")
    assert len(service) == 0
