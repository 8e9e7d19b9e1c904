"""One dial gives a recipe that could have been written by hand, larger for more, and the same again after a stop."""

import re
from dataclasses import replace

import pytest

from bise.errors import InputError
from bise.runs import RunDirectory
from bise.train.budget import TOKENS_PER_WEIGHT, as_budget, budget_seconds, resolve, utilisation
from bise.train.compute import flops_per_token, measured_speed, num_matrix_weights
from bise.train.pretrain import train
from bise.train.recipe import CostRecipe, TrainRecipe
from bise.train.report import Silent
from bise.weights.spec import ModelSpec

PEAK = 8e11  # operations a second


def with_dial(recipe: TrainRecipe, **dial: object) -> TrainRecipe:
    return replace(recipe, **({"shape": None, "tokens": None} | dial))  # type: ignore[arg-type]


def resolved_spec(recipe: TrainRecipe) -> ModelSpec:
    assert recipe.shape is not None
    return ModelSpec(vocab_size=8192, **recipe.shape.__dict__)


@pytest.mark.parametrize("budget", ["5m", "25m", "2h", "3d", "200d"])
def test_a_budget_is_spent_on_enough_tokens_for_the_shape(recipe: TrainRecipe, budget: str) -> None:
    resolved = resolve(with_dial(recipe, budget=budget), 8192, PEAK)
    spec = resolved_spec(resolved)
    assert resolved.tokens is not None
    assert resolved.tokens >= 0.999 * TOKENS_PER_WEIGHT * num_matrix_weights(spec)
    seconds = float(budget[:-1]) * {"m": 60, "h": 3600, "d": 86400}[budget[-1]]
    spent = resolved.tokens * flops_per_token(spec, spec.context_length)
    assert spent == pytest.approx(seconds * PEAK * utilisation(spec.hidden_size), rel=1e-3)
    assert resolve(resolved, 8192, 2 * PEAK) == resolved
    assert resolved.loop.batch_rows % resolved.loop.microbatch_rows == 0


def test_small_models_are_expected_to_reach_less_of_the_peak_rate() -> None:
    measured = {64: 0.146, 128: 0.23, 192: 0.316}  # as `bise train` tells it, on two cores
    assert {width: utilisation(width) for width in measured} == pytest.approx(measured, rel=0.1)
    assert utilisation(256) == utilisation(4096) == pytest.approx(1 / 3)


def test_more_time_makes_larger_models_with_smaller_rates(recipe: TrainRecipe) -> None:
    all_resolved = [resolve(with_dial(recipe, budget=budget), 8192, PEAK) for budget in ("25m", "4h", "9d")]
    sizes = [resolved_spec(resolved).num_parameters() for resolved in all_resolved]
    rates = [resolved.optimizer.matrix_learning_rate for resolved in all_resolved]
    assert sizes == sorted(set(sizes))
    assert rates == sorted(set(rates), reverse=True)


def test_the_anchors_of_the_rules_are_met(recipe: TrainRecipe) -> None:
    laptop, gpu = (resolved_spec(resolve(with_dial(recipe, parameters=n), 8192, PEAK)) for n in (6_500_000, 90_000_000))
    assert (laptop.num_layers, laptop.hidden_size, laptop.num_kv_heads, laptop.ffn_size) == (6, 256, 2, 704)
    assert laptop.tied_embeddings
    assert (gpu.num_layers, gpu.hidden_size, gpu.head_dim, gpu.ffn_size) == (12, 768, 128, 2048)
    assert flops_per_token(replace(laptop, vocab_size=8192), 512) == pytest.approx(44e6, rel=0.01)
    assert flops_per_token(replace(gpu, vocab_size=32768), 2048) == pytest.approx(717e6, rel=0.01)


def test_parameters_with_tokens_keep_the_tokens(recipe: TrainRecipe) -> None:
    assert resolve(with_dial(recipe, parameters=6_500_000, tokens=1_000_000), 8192, PEAK).tokens == 1_000_000


@pytest.mark.parametrize("budget", ["", "25", "0m", "-1h", "5 minutes", "1e9d"])
def test_a_budget_that_is_no_time_is_named(recipe: TrainRecipe, budget: str) -> None:
    if not budget:
        with pytest.raises(ValueError, match="it gives no size"):
            with_dial(recipe, budget=budget)
        return
    with pytest.raises(InputError, match=r"must be a time such as 90s, 25m, 2h or 1d"):
        resolve(with_dial(recipe, budget=budget), 8192, PEAK)


def test_too_little_time_says_how_much_is_needed(recipe: TrainRecipe) -> None:
    with pytest.raises(InputError, match=r"budget of 1s is too little .* give (\S+), or name") as refusal:
        resolve(with_dial(recipe, budget="1s"), 8192, PEAK)
    enough = re.findall(r"give (\S+),", str(refusal.value))[0]
    assert resolved_spec(resolve(with_dial(recipe, budget=enough), 8192, PEAK)).num_layers == 2


@pytest.mark.parametrize(
    ("seconds", "budget"), [(0.31, "0.4s"), (59.0, "59s"), (61.0, "1.1m"), (5400.0, "1.5h"), (1e6, "12d")]
)
def test_times_are_rounded_up_to_what_can_be_given(seconds: float, budget: str) -> None:
    assert as_budget(seconds) == budget
    assert budget_seconds(budget) >= seconds


def test_the_machine_is_measured_anew_until_the_run_has_begun(recipe: TrainRecipe) -> None:
    run = RunDirectory(recipe.root, "train", "not-begun")
    (run.path / "speed.json").write_text('{"device": "cpu", "precision": "f32", "peak_flops": 1.0}')
    assert measured_speed(run, recipe.loop).peak_flops > 1e6


def test_two_dials_are_refused(recipe: TrainRecipe) -> None:
    with pytest.raises(ValueError, match="it gives budget and shape and tokens"):
        replace(recipe, budget="25m")
    with pytest.raises(ValueError, match="it gives shape"):
        replace(recipe, tokens=None)


def test_the_record_tells_operations_energy_and_cost(recipe: TrainRecipe) -> None:
    cost = CostRecipe(watts=36e5, price_per_kwh=2.0, price_per_hour=3600.0, currency="CHF")
    facts = train(replace(recipe, cost=cost), Silent()).facts
    spec = ModelSpec(**facts["spec"])  # type: ignore[arg-type]
    assert facts["flops"] == recipe.tokens * flops_per_token(spec, 32)  # type: ignore[operator]
    assert facts["energy_kwh"] == pytest.approx(facts["training_seconds"], abs=0.06)
    assert isinstance(facts["mfu"], float)
    assert facts["mfu"] > 0
    number, currency = str(facts["cost"]).split()
    assert currency == "CHF"
    assert float(number) == pytest.approx(3 * float(str(facts["training_seconds"])), abs=0.2)
