"""From a curated corpus and a tokenizer to base weights: a finished run with `model/`, metrics and a manifest."""

import dataclasses
import math
import shutil
from pathlib import Path

import torch

from bise.errors import InputError
from bise.model.files import load_model, save_model
from bise.model.transformer import Transformer
from bise.runs import Input, Manifest, RunDirectory, read_manifest, run_input
from bise.tokenizer.chat import ChatTokenizer
from bise.tokenizer.shards import describe_shards
from bise.train.base import find_base
from bise.train.budget import resolve, words
from bise.train.checkpoint import remove_checkpoint
from bise.train.compute import flops_per_token, measured_speed
from bise.train.evaluation import held_out_text
from bise.train.loader import shard_rows
from bise.train.loop import Job, run_job
from bise.train.page import write_report
from bise.train.recipe import Shape, TrainRecipe
from bise.train.record import run_facts
from bise.train.report import Reporter
from bise.train.shards import Split, prepare_shards
from bise.train.verdict import what_got_worse
from bise.weights.spec import ModelSpec, read_spec


def train(recipe: TrainRecipe, reporter: Reporter) -> Manifest:
    """Train base weights from nothing or from a base's, or go on where the same recipe was stopped.

    Raises:
        InputError: the run is finished already, was begun with another recipe, or its inputs cannot be used.
        NotFoundError: the corpus or the tokenizer is not a finished run.
    """
    _require_stage(recipe.corpus, "curate")
    start = _start(recipe)
    tokenizer = ChatTokenizer.load(start.tokenizer)
    run = RunDirectory(recipe.root, "train", recipe.name)
    speed = measured_speed(run, recipe.loop)
    dial = recipe.budget or recipe.parameters
    recipe = resolve(recipe, tokenizer.vocab_size, speed.peak_flops, start.shape)
    assert recipe.shape is not None
    assert recipe.tokens is not None
    spec = ModelSpec(vocab_size=tokenizer.vocab_size, **dataclasses.asdict(recipe.shape))
    if dial:
        reporter.say(f"{dial}: {words(recipe, spec)}")
    shards, held_out = prepare_shards(
        recipe.corpus, tokenizer, Split(recipe.held_out_fraction, recipe.repeats), recipe.root, reporter
    )
    row_length = recipe.row_length or spec.context_length
    loader = shard_rows(shards, tokenizer.bos_id, row_length, recipe.seed)
    torch.manual_seed(recipe.seed)
    rows = recipe.loop.batch_rows
    job = Job(
        run=run,
        config=dataclasses.asdict(recipe),
        inputs=(run_input(recipe.corpus), start.origin),
        model=load_model(start.weights) if start.weights else Transformer(spec),
        num_steps=math.ceil(recipe.tokens / (rows * row_length)),
        batch=lambda step: loader.batch(step, rows),
        held_out=held_out_text(held_out, tokenizer, row_length, recipe.held_out_rows, recipe.loop.microbatch_rows),
        optimizer=recipe.optimizer,
        loop=dataclasses.replace(recipe.loop, precision=speed.precision),
        flops_per_token=flops_per_token(spec, row_length),
        peak_flops=speed.peak_flops,
        device=speed.device,
        cost=recipe.cost,
    )
    outcome = run_job(job, reporter)
    save_model(run.path / "model", job.model)
    complete_outputs(job, tokenizer)
    facts = run_facts(job, outcome) | {"epochs": round(job.num_steps * rows / loader.num_rows, 3)}
    facts["shards"] = describe_shards(shards, recipe.root)
    if dial:
        facts["dial"] = dial
    if recipe.base:
        facts["warnings"] = worse = what_got_worse(outcome.before, outcome.after)
        for sentence in worse:
            reporter.say(f"Warning: {sentence}")
    write_report(run, job.config, job.inputs, facts)
    return run.finish(job.config, job.inputs, facts)


@dataclasses.dataclass(frozen=True)
class _Start:
    """What a run begins with: a tokenizer alone, or a model with its own."""

    origin: Input
    tokenizer: Path  # the directory that holds it
    weights: Path | None = None
    shape: Shape | None = None


def _start(recipe: TrainRecipe) -> _Start:
    if recipe.base is None:
        assert recipe.tokenizer is not None
        _require_stage(recipe.tokenizer, "tokenizer")
        return _Start(run_input(recipe.tokenizer), recipe.tokenizer)
    directory, origin = find_base(recipe.base)
    spec = read_spec(directory)
    if spec.quantisation is not None:
        raise InputError(
            f"{recipe.base} has {spec.quantisation.bits}-bit weights, and all weights of such a model cannot be trained. Give "
            "the run or the model with float weights that it was made from, or tune an adapter beside its weights: bise tune, "
            "with an [adapter] section."
        )
    values = dataclasses.asdict(spec)
    shape = Shape(**{field.name: values[field.name] for field in dataclasses.fields(Shape)})
    return _Start(origin, directory, directory, shape)


def complete_outputs(job: Job, tokenizer: ChatTokenizer) -> None:
    """Put the tokenizer beside the weights and drop what only an unfinished run needs."""
    for path in tokenizer.files:
        shutil.copyfile(path, job.run.path / "model" / path.name)
    remove_checkpoint(job.run)


def _require_stage(directory: Path, stage: str) -> None:
    found = read_manifest(directory).stage
    if found != stage:
        raise InputError(f"{directory} holds a {found} run, but the recipe needs a {stage} run there.")
