"""From base weights and conversations to chat weights: a finished run with `model/`, metrics and a manifest."""

import dataclasses
import math
from pathlib import Path

import torch

from bise.model.files import load_model, save_model, save_weights
from bise.model.frozen import load_frozen
from bise.model.lora import add_adapter, halve_frozen, merged_weights, save_adapter, weaken
from bise.model.transformer import Transformer
from bise.runs import Manifest, RunDirectory
from bise.tokenizer.chat import ChatTokenizer
from bise.train.base import find_base
from bise.train.checkpoint import remove_checkpoint
from bise.train.compiled import plain
from bise.train.compute import Speed, flops_per_token, measured_speed
from bise.train.evaluation import HeldOut, token_sizes
from bise.train.loop import HeldOutLosses, Job, Outcome, run_job
from bise.train.packing import Batch, PackedRows
from bise.train.page import write_report
from bise.train.pretrain import complete_outputs
from bise.train.record import run_facts
from bise.train.report import Reporter
from bise.train.step import Objective, Precision, next_token
from bise.tune.data import Example, TuneData, prepare, rows
from bise.tune.dpo import Preferences, numbered, reference
from bise.tune.general import general_batches
from bise.tune.recipe import TuneRecipe
from bise.tune.verdict import what_got_worse
from bise.weights.spec import read_spec

_REFERENCE = "reference.safetensors"
_FEW_SECONDS, _MINUTE_OR_TWO = 5.0, 120.0
_FEW_STEPS = 20


def tune(recipe: TuneRecipe, reporter: Reporter) -> Manifest:
    """Tune a base model on conversations or preferences, or continue where the same recipe was stopped.

    With an adapter in the recipe, `adapter/` holds it and `model/` the base with the adapter added to its weights.

    Raises:
        InputError: the run is finished already, was begun with another recipe, or a conversation breaks the rules.
        NotFoundError: the base is not a finished run, or a file of conversations is not there.
    """
    directory, origin = find_base(recipe.base)
    tokenizer = ChatTokenizer.load(directory)
    context_length = read_spec(directory).context_length
    data = prepare(recipe, tokenizer, min(recipe.row_length or context_length, context_length) + 1, reporter)
    run = RunDirectory(recipe.root, "tune", recipe.name)
    speed = measured_speed(run, recipe.loop)
    model = _load(directory, recipe, speed.precision)
    material = _material(recipe, data, tokenizer, context_length)
    objective, evaluation = _purpose(recipe, material, model, tokenizer, _Place(run, speed, reporter))
    job = Job(
        run=run,
        config=recipe.published(),
        inputs=(origin, *data.inputs),
        model=model,
        num_steps=max(1, math.ceil(recipe.epochs * material.learned.num_rows / recipe.loop.batch_rows)),
        batch=lambda step: material.learned.batch(step, recipe.loop.batch_rows),
        held_out=evaluation,
        optimizer=recipe.optimizer,
        loop=dataclasses.replace(recipe.loop, precision=speed.precision),
        flops_per_token=flops_per_token(model.spec, material.row_length, only_adapter=recipe.adapter is not None),
        peak_flops=speed.peak_flops,
        device=speed.device,
        cost=recipe.cost,
        objective=objective,
    )
    _tell_size(job, data, material, reporter)
    outcome = _weakened(job, recipe, run_job(job, reporter))
    _save(job, recipe, tokenizer)
    facts = run_facts(job, outcome) | _tune_facts(recipe, data, outcome, reporter)
    write_report(run, job.config, job.inputs, facts)
    return run.finish(job.config, job.inputs, facts)


@dataclasses.dataclass(frozen=True)
class _Material:
    """Rows to learn from and to measure on."""

    row_length: int
    learned: PackedRows
    held_out: dict[str, Batch]  # better answers by language, then general text by "text" and language
    pairs: dict[str, Batch]  # held-out preferences by "pairs" and language


@dataclasses.dataclass(frozen=True)
class _Place:
    """Where and how a run works."""

    run: RunDirectory
    speed: Speed
    reporter: Reporter


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    """Losses on held-out conversations and general text, and on held-out preferences where they are learned."""

    texts: HeldOut
    pairs: dict[str, Batch]
    preferences: Preferences | None

    def measure(self, model: Transformer, precision: Precision) -> HeldOutLosses:
        """Measures of each kind, by name."""
        found = self.texts.measure(model, precision)
        if self.preferences:
            for name, batch in self.pairs.items():
                found[name] = self.preferences.measure(model, batch, self.texts.rows_at_once, precision)
        return found


def _load(directory: Path, recipe: TuneRecipe, precision: Precision) -> Transformer:
    is_frozen = recipe.adapter is not None and read_spec(directory).quantisation is not None
    model = load_frozen(directory) if is_frozen else load_model(directory)
    if recipe.adapter:
        torch.manual_seed(recipe.seed)
        add_adapter(model, recipe.adapter.spec(recipe.base.name))
        if precision == "bf16":
            halve_frozen(model)
    return model


def _material(recipe: TuneRecipe, data: TuneData, tokenizer: ChatTokenizer, context_length: int) -> _Material:
    row_length = data.row_length(recipe.row_length, context_length)
    learned, held_out = data.learned, dict(sorted(data.held_out.items()))
    if recipe.dpo:
        learned = numbered(learned, first=0)
    first, pairs = len(learned), {}
    for lang, examples in held_out.items():
        preferences = [example for example in examples if example.rejected]
        if preferences:
            pairs[f"pairs {lang}"] = _all_rows(numbered(preferences, first), row_length, recipe.held_out_rows)
            first += len(preferences)
    answers = {
        lang: _all_rows([Example(e.chosen) for e in examples], row_length, recipe.held_out_rows)
        for lang, examples in held_out.items()
    }
    text_length = min(row_length, context_length)
    texts = general_batches(recipe, tokenizer, text_length)
    return _Material(row_length, rows(learned, row_length, recipe.seed), answers | texts, pairs)


def _all_rows(examples: list[Example], row_length: int, max_rows: int) -> Batch:
    packed = rows(examples, row_length, seed=0)
    return packed.batch(0, min(max_rows, packed.num_rows))


def _purpose(
    recipe: TuneRecipe, material: _Material, model: Transformer, tokenizer: ChatTokenizer, place: _Place
) -> tuple[Objective, _Evaluation]:
    """What is descended, and what is measured."""
    texts = HeldOut(material.held_out, token_sizes(tokenizer), recipe.loop.microbatch_rows)
    if recipe.dpo is None:
        return next_token, _Evaluation(texts, {}, None)
    batches = {"learned": material.learned.batch(0, material.learned.num_rows), **material.pairs}
    known = reference(
        place.run.path / _REFERENCE,
        model,
        batches,
        recipe.loop.microbatch_rows,
        place.speed.precision,
        place.reporter,
    )
    preferences = Preferences(known, recipe.dpo)
    return preferences, _Evaluation(texts, material.pairs, preferences)


def _tell_size(job: Job, data: TuneData, material: _Material, reporter: Reporter) -> None:
    num_places = sum(example.num_places for example in data.learned)
    seconds = job.expected_s(job.loop.batch_rows * material.row_length)
    estimate = f"{seconds:.0f} seconds" if seconds < _MINUTE_OR_TWO else f"{seconds / 60:.0f} minutes"
    if seconds < _FEW_SECONDS:  # beginning and ending takes longer
        estimate = "a few seconds"
    reporter.say(
        f"{len(data.learned):,} conversations of {num_places:,} tokens in {material.learned.num_rows:,} rows of "
        f"{material.row_length:,}; {job.num_steps:,} steps of {job.loop.batch_rows} rows: about {estimate} here."
    )
    if job.num_steps < _FEW_STEPS and job.loop.batch_rows > 1:
        reporter.say(
            f"{job.num_steps:,} steps are few to learn in. With fewer rows a step there are more: set loop.batch_rows and "
            "loop.microbatch_rows to 4, or lower."
        )


def _weakened(job: Job, recipe: TuneRecipe, outcome: Outcome) -> Outcome:
    """An adapter that shall count less than it learned to, in place, measured anew.

    Between the base and what was learned lie models that keep most of both (Wortsman et al. 2022, arXiv 2109.01903).
    """
    if recipe.adapter is None or recipe.adapter.strength == 1:
        return outcome
    weaken(job.model, recipe.adapter.strength)
    with plain():
        return dataclasses.replace(outcome, after=job.held_out.measure(job.model, outcome.choices.precision))


def _save(job: Job, recipe: TuneRecipe, tokenizer: ChatTokenizer) -> None:
    path = job.run.path
    if recipe.adapter:
        save_adapter(path / "adapter", job.model, recipe.adapter.finished_spec(recipe.base.name))
        if recipe.adapter.merge:
            save_weights(path / "model", job.model.spec, merged_weights(job.model))
    else:
        save_model(path / "model", job.model)
    if recipe.adapter is None or recipe.adapter.merge:
        complete_outputs(job, tokenizer)
    else:
        remove_checkpoint(job.run)
    (path / _REFERENCE).unlink(missing_ok=True)


def _tune_facts(recipe: TuneRecipe, data: TuneData, outcome: Outcome, reporter: Reporter) -> dict[str, object]:
    worse = what_got_worse(outcome.before, outcome.after, has_adapter=recipe.adapter is not None)
    for sentence in worse:
        reporter.say(f"Warning: {sentence}")
    facts: dict[str, object] = {"sources": data.facts, "warnings": worse}
    return facts | ({"loss_unit": recipe.dpo.loss_unit} if recipe.dpo else {})
