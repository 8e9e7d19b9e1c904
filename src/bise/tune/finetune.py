"""From base weights and conversations to chat weights: a finished run with `model/`, metrics and a manifest."""

import dataclasses
import math

import torch

from bise.model.files import load_model, save_model, save_weights
from bise.model.frozen import load_frozen
from bise.model.lora import add_adapter, merged_weights, save_adapter
from bise.runs import Manifest, RunDirectory
from bise.tokenizer.chat import ChatTokenizer
from bise.train.base import find_base
from bise.train.compute import flops_per_token, measured_speed
from bise.train.evaluation import HeldOut, token_sizes
from bise.train.loop import Job, run_job
from bise.train.pretrain import complete_outputs, run_facts
from bise.train.report import Reporter
from bise.tune.data import TuneData, prepare, rows
from bise.tune.recipe import TuneRecipe
from bise.weights.spec import read_spec


def tune(recipe: TuneRecipe, reporter: Reporter) -> Manifest:
    """Tune a base model on conversations, or continue where the same recipe was stopped.

    With an adapter in the recipe, `adapter/` holds it and `model/` the base with the adapter added to its weights.

    Raises:
        InputError: the run is finished already, was begun with another recipe, or a conversation breaks the rules.
        NotFoundError: the base is not a finished run, or a file of conversations is not there.
    """
    directory, origin = find_base(recipe.base)
    is_frozen = recipe.adapter is not None and read_spec(directory).quantisation is not None
    model = load_frozen(directory) if is_frozen else load_model(directory)
    tokenizer = ChatTokenizer.load(directory)
    run = RunDirectory(recipe.root, "tune", recipe.name)
    speed = measured_speed(run, recipe.loop)
    adapter = recipe.adapter.spec(recipe.base.name) if recipe.adapter else None
    if adapter:
        torch.manual_seed(recipe.seed)
        add_adapter(model, adapter)
    row_length = model.spec.context_length
    data = prepare(recipe, tokenizer, row_length, reporter)
    learned = rows(data.learned, row_length, recipe.seed)
    job = Job(
        run=run,
        config=dataclasses.asdict(recipe),
        inputs=(origin, *data.inputs),
        model=model,
        num_steps=max(1, math.ceil(recipe.epochs * learned.num_rows / recipe.loop.batch_rows)),
        batch=lambda step: learned.batch(step, recipe.loop.batch_rows),
        held_out=_held_out(data, tokenizer, row_length, recipe),
        optimizer=recipe.optimizer,
        loop=dataclasses.replace(recipe.loop, precision=speed.precision),
        flops_per_token=flops_per_token(model.spec, row_length, only_adapter=adapter is not None),
        peak_flops=speed.peak_flops,
        cost=recipe.cost,
    )
    outcome = run_job(job, reporter)
    if adapter:
        save_adapter(run.path / "adapter", model, adapter)
        save_weights(run.path / "model", model.spec, merged_weights(model))
    else:
        save_model(run.path / "model", model)
    complete_outputs(job, tokenizer)
    return run.finish(job.config, job.inputs, run_facts(job, outcome) | {"sources": data.facts})


def _held_out(data: TuneData, tokenizer: ChatTokenizer, row_length: int, recipe: TuneRecipe) -> HeldOut:
    batches = {}
    for lang, samples in sorted(data.held_out.items()):
        packed = rows(samples, row_length, seed=0)
        batches[lang] = packed.batch(0, min(recipe.held_out_rows, packed.num_rows))
    return HeldOut(batches, token_sizes(tokenizer), recipe.loop.microbatch_rows)
