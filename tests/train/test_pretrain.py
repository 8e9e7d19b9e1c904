"""A run learns, ends as a model with a manifest, continues bit for bit, and refuses to be continued as another."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bise.errors import InputError, NotFoundError
from bise.model.files import load_model
from bise.runs import read_manifest, run_input, sha256_file
from bise.tokenizer.chat import ChatTokenizer
from bise.train.pretrain import train
from bise.train.recipe import LoopRecipe, TrainRecipe
from bise.train.report import Silent

pytestmark = pytest.mark.slow


class StopAfter(Silent):
    """Presses Ctrl-C during a step, and keeps what is said."""

    def __init__(self, step: int) -> None:
        self.step = step
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def advance(self, task: str, done: int, total: int, note: str = "") -> None:
        super().advance(task, done, total, note)
        if task == "Training" and done == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def stop(recipe: TrainRecipe, step: int) -> StopAfter:
    reporter = StopAfter(step)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, reporter)
    return reporter


def run_of(recipe: TrainRecipe) -> Path:
    return recipe.root / "train" / recipe.name


def metrics(recipe: TrainRecipe) -> list[dict[str, object]]:
    """The metrics of a run but for its times."""
    lines = (run_of(recipe) / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    timed = ("seconds", "tokens_per_s", "mfu")
    return [{key: value for key, value in json.loads(line).items() if key not in timed} for line in lines]


def test_a_run_learns_and_ends_as_a_model(recipe: TrainRecipe) -> None:
    manifest = train(recipe, Silent())
    directory = run_of(recipe)
    assert read_manifest(directory).outputs == manifest.outputs
    assert manifest.inputs == (run_input(recipe.corpus), run_input(recipe.tokenizer))
    shards: dict[str, Any] = manifest.facts["shards"]  # type: ignore[assignment]
    assert sha256_file(recipe.root / shards["path"]) == shards["sha256"]
    before, after = manifest.facts["held_out_before"], manifest.facts["held_out"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before.keys() == {"en", "fr"}
    assert after["en"]["loss"] < before["en"]["loss"] - 1
    assert after["en"]["bits_per_byte"] < before["en"]["bits_per_byte"]
    model = load_model(directory / "model")
    assert model.spec.num_parameters() == manifest.facts["parameters"]
    assert ChatTokenizer.load(directory / "model").vocab_size == model.spec.vocab_size
    assert {output.path for output in manifest.outputs} == {
        "metrics.jsonl",
        "model/model.safetensors",
        "model/spec.json",
        "model/tekken.json",
        "report.html",
        "speed.json",
    }


@pytest.mark.parametrize("step", [3, 5, 8])
def test_stopped_and_continued_equals_undisturbed(recipe: TrainRecipe, step: int) -> None:
    train(recipe, Silent())
    disturbed = replace(recipe, root=recipe.root / "disturbed")
    reporter = stop(disturbed, step)
    assert f"Stopped after step {step} of 12" in reporter.said[-1]
    with pytest.raises(NotFoundError, match="did not finish"):
        read_manifest(run_of(disturbed))
    train(disturbed, Silent())
    plain, continued = (load_model(run_of(r) / "model").state_dict() for r in (recipe, disturbed))
    assert all(torch.equal(tensor, continued[name]) for name, tensor in plain.items())
    assert metrics(recipe) == metrics(disturbed)


def test_a_crash_loses_only_what_follows_the_checkpoint(recipe: TrainRecipe) -> None:
    class Crash(Silent):
        def advance(self, task: str, done: int, total: int, note: str = "") -> None:
            super().advance(task, done, total, note)
            if task == "Training" and done == 8:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, Crash())
    train(recipe, Silent())
    assert [entry["step"] for entry in metrics(recipe) if "loss" in entry] == list(range(1, 13))


def test_an_unfinished_run_with_another_recipe_is_refused(recipe: TrainRecipe) -> None:
    stop(recipe, 2)
    with pytest.raises(InputError, match=r"recipe\.tokens was 3072, now 6144"):
        train(replace(recipe, tokens=2 * recipe.tokens), Silent())


def test_a_finished_run_is_not_overwritten(recipe: TrainRecipe) -> None:
    train(recipe, Silent())
    with pytest.raises(InputError, match="already holds a finished run"):
        train(recipe, Silent())


def test_a_damaged_checkpoint_is_named(recipe: TrainRecipe) -> None:
    stop(recipe, 2)
    checkpoint = run_of(recipe) / "checkpoint.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    with pytest.raises(InputError, match=r"checkpoint\.safetensors is damaged"):
        train(recipe, Silent())


def test_a_diverging_run_says_so(recipe: TrainRecipe) -> None:
    wild = replace(recipe, optimizer=replace(recipe.optimizer, weight_decay=1e38))
    with pytest.raises(InputError, match="training diverged"):
        train(wild, Silent())


def test_swapped_inputs_are_named(recipe: TrainRecipe) -> None:
    with pytest.raises(InputError, match="holds a tokenizer run, but the recipe needs a curate run"):
        train(replace(recipe, corpus=recipe.tokenizer), Silent())


def test_an_unknown_source_is_named(recipe: TrainRecipe) -> None:
    with pytest.raises(InputError, match=r"novels, but the sources of .* are small"):
        train(replace(recipe, repeats={"novels": 2.0}), Silent())


def test_repeats_lengthen_the_epoch(recipe: TrainRecipe) -> None:
    once = train(recipe, Silent()).facts["epochs"]
    thrice = train(replace(recipe, name="thrice", repeats={"small": 3.0}), Silent()).facts["epochs"]
    assert isinstance(once, float)
    assert isinstance(thrice, float)
    assert once == pytest.approx(3 * thrice, rel=0.05)


@pytest.mark.parametrize("changes", [{"batch_rows": 6, "microbatch_rows": 4}, {"eval_every": 0}, {"threads": -1}])
def test_a_loop_that_cannot_run_is_refused(changes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        LoopRecipe(**changes)  # type: ignore[arg-type]


def test_a_run_goes_on_from_the_weights_of_another(recipe: TrainRecipe) -> None:
    first = train(recipe, Silent()).facts
    further = replace(recipe, name="further", tokenizer=None, shape=None, base=run_of(recipe))
    manifest = train(further, Silent())
    before, after = manifest.facts["held_out_before"], first["held_out"]
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert before["en"]["loss"] == pytest.approx(after["en"]["loss"], abs=0.02)  # saved in bfloat16
    assert manifest.inputs == (run_input(recipe.corpus), run_input(run_of(recipe)))
    assert (run_of(further) / "model" / "tekken.json").read_bytes() == (
        run_of(recipe) / "model" / "tekken.json"
    ).read_bytes()


def test_a_run_that_goes_on_and_gets_worse_says_so_with_both_numbers(recipe: TrainRecipe) -> None:
    assert "warnings" not in train(recipe, Silent()).facts  # from nothing there is nothing to get worse than
    wild = replace(recipe.optimizer, matrix_learning_rate=1.0, embedding_learning_rate=1.0)
    further = replace(recipe, name="wild", tokenizer=None, shape=None, base=run_of(recipe), optimizer=wild)
    reporter = StopAfter(step=-1)
    facts = train(further, reporter).facts
    before, after = (facts[when]["en"]["bits_per_byte"] for when in ("held_out_before", "held_out"))  # type: ignore[index]
    told = next(each for each in facts["warnings"] if "(en)" in each)  # type: ignore[attr-defined]
    assert told.startswith(f"Held-out text (en) got worse: {before:.3f} bits per byte before, {after:.3f} after. ")
    assert f"Warning: {told}" in reporter.said
    assert told in (run_of(further) / "report.html").read_text(encoding="utf-8")


def test_a_base_keeps_its_shape_and_tokenizer(recipe: TrainRecipe) -> None:
    with pytest.raises(ValueError, match="either tokenizer"):
        replace(recipe, base=recipe.root)
    with pytest.raises(ValueError, match="with a base, give its budget"):
        replace(recipe, base=recipe.root, tokenizer=None, shape=None, tokens=None)


def test_a_quantised_base_is_refused_with_what_to_do(recipe: TrainRecipe) -> None:
    with pytest.raises(InputError, match=r"bise-demo has 8-bit weights.* \[adapter\] section"):
        train(replace(recipe, base=Path("bise-demo"), tokenizer=None, shape=None), Silent())
    assert not (recipe.root / "train").exists(), "nothing was begun"
