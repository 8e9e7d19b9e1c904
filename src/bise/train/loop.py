"""The steps of a run, from wherever it was left to its end: training and tuning both run this.

A run is its batches (a function of the step), its model and its optimiser. Every step writes a line of metrics; at
intervals the held-out loss is measured and a checkpoint replaces the one before.
"""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from bise.errors import InputError
from bise.memory import keep_freed_memory
from bise.model.transformer import Transformer
from bise.runs import Input, RunDirectory
from bise.train.budget import utilisation
from bise.train.checkpoint import Choices, Progress, begin_or_continue, load_checkpoint, save_checkpoint
from bise.train.compiled import code_of_its_own, compile_blocks, plain, should_compile
from bise.train.compute import should_recompute
from bise.train.interrupt import stop_requests
from bise.train.optimizer import Optimizer, schedule
from bise.train.packing import Batch
from bise.train.recipe import CostRecipe, LoopRecipe, OptimizerRecipe
from bise.train.report import Reporter
from bise.train.step import Objective, Precision, faster_precision, next_token

_FINAL_LOSS_STEPS = 50
HeldOutLosses = dict[str, dict[str, float]]


class Evaluation(Protocol):
    """Measures a model on what it never learns from."""

    def measure(self, model: Transformer, precision: Precision) -> HeldOutLosses:
        """Loss and other measures of each kind of text."""


@dataclass(frozen=True)
class Job:
    """What is to be run."""

    run: RunDirectory
    config: dict[str, object]  # the resolved recipe
    inputs: tuple[Input, ...]
    model: Transformer
    num_steps: int
    batch: Callable[[int], Batch]  # of a step
    held_out: Evaluation
    optimizer: OptimizerRecipe
    loop: LoopRecipe
    flops_per_token: float
    peak_flops: float  # of this device, a second
    cost: CostRecipe
    objective: Objective = next_token
    device: Literal["cpu", "cuda"] = "cpu"

    def expected_s(self, places_of_a_step: int) -> float:
        """Roughly how long the steps will take."""
        rate = self.peak_flops * utilisation(self.model.spec.hidden_size)
        return self.num_steps * places_of_a_step * self.flops_per_token / rate


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    progress: Progress
    loss: float  # nats per target, mean of the last steps
    before: HeldOutLosses
    after: HeldOutLosses
    choices: Choices


def run_job(job: Job, reporter: Reporter) -> Outcome:
    """Run or continue a job to its end; the model is left in evaluation mode with its final weights.

    Raises:
        InputError: the run directory holds an unfinished run with another recipe.
        KeyboardInterrupt: stopped by Ctrl-C or SIGTERM, after a checkpoint was written.
    """
    keep_freed_memory()
    torch.set_num_threads(job.loop.threads or os.cpu_count() or 1)
    precision = faster_precision(job.device) if job.loop.precision == "auto" else job.loop.precision
    num_rows, row_length = job.batch(0).inputs_BT.shape
    expected_s = job.expected_s(num_rows * row_length)
    choices = Choices(precision, should_compile(job.loop.compile, expected_s, job.device))
    choices = begin_or_continue(job.run, job.config, job.inputs, choices)
    precision = choices.precision
    job.model.to(job.device)
    job.model.recomputes = should_recompute(job.model, job.loop, row_length)
    if choices.is_compiled:
        compile_blocks(job.model)
    optimizer = Optimizer(job.model, job.optimizer, precision)
    progress = load_checkpoint(job.run, job.model, optimizer)
    if progress.step:
        reporter.say(f"Continuing {job.run.path} after step {progress.step:,} of {job.num_steps:,}.")
    else:
        _evaluate(job, precision, 0)
    with code_of_its_own(choices.is_compiled):
        progress = _run_steps(job, optimizer, precision, progress, reporter)
    job.model.eval()
    return Outcome(progress, *_summary(job.run), choices)


def _run_steps(
    job: Job, optimizer: Optimizer, precision: Precision, progress: Progress, reporter: Reporter
) -> Progress:
    with stop_requests() as stop_requested:
        while progress.step < job.num_steps:
            progress = _step(job, optimizer, precision, progress, reporter)
            if progress.step % job.loop.eval_every == 0 or progress.step == job.num_steps:
                _evaluate(job, precision, progress.step)
            if stop_requested() or progress.step % job.loop.checkpoint_every == 0 or progress.step == job.num_steps:
                save_checkpoint(job.run, job.model, optimizer, progress)
            if stop_requested() and progress.step < job.num_steps:
                reporter.say(
                    f"Stopped after step {progress.step:,} of {job.num_steps:,}. The same command continues from there."
                )
                raise KeyboardInterrupt
    return progress


def _step(job: Job, optimizer: Optimizer, precision: Precision, progress: Progress, reporter: Reporter) -> Progress:
    started = time.monotonic()
    batch = job.batch(progress.step).to(job.model.device)
    factor = schedule(progress.step, job.num_steps, job.optimizer)
    measures = job.objective(job.model, batch, job.loop.microbatch_rows, precision)
    optimizer.step(factor)
    loss = measures["loss"]
    if not math.isfinite(loss):
        raise InputError(
            f"The loss became {loss} at step {progress.step + 1:,}: training diverged. "
            "Lower optimizer.matrix_learning_rate and optimizer.embedding_learning_rate, under another name."
        )
    seconds = time.monotonic() - started
    num_places = batch.inputs_BT.numel()
    done = Progress(
        progress.step + 1,
        progress.num_targets + batch.num_targets,
        progress.seconds + seconds,
        progress.num_places + num_places,
    )
    tokens_per_s = num_places / seconds
    mfu = tokens_per_s * job.flops_per_token / job.peak_flops
    job.run.log_metrics(
        {
            "step": done.step,
            "num_steps": job.num_steps,
            **measures,
            "tokens": done.num_targets,
            "tokens_per_s": round(tokens_per_s, 1),
            "mfu": round(mfu, 4),
            "learning_rate_factor": round(factor, 5),
            "seconds": round(done.seconds, 2),
        }
    )
    told = ", ".join(f"{name} {value:.3f}" for name, value in measures.items())
    note = f"{told}, {tokens_per_s:,.0f} tokens/s, {100 * mfu:.0f} % of the peak{_cost_left(job, done)}"
    reporter.advance("Training", done.step, job.num_steps, note)
    return done


def _cost_left(job: Job, done: Progress) -> str:
    price = job.cost.price(done.seconds / done.step * (job.num_steps - done.step))
    return f", {price:.2f} {job.cost.currency} to go" if price else ""


def _evaluate(job: Job, precision: Precision, step: int) -> None:
    with plain():
        job.run.log_metrics({"step": step, "held_out": job.held_out.measure(job.model, precision)})


def _summary(run: RunDirectory) -> tuple[float, HeldOutLosses, HeldOutLosses]:
    """The final loss, and the held-out losses before the first step and after the last."""
    metrics = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = [entry["loss"] for entry in metrics if "loss" in entry][-_FINAL_LOSS_STEPS:]
    held_out = [entry["held_out"] for entry in metrics if "held_out" in entry]
    return round(sum(losses) / len(losses), 4), held_out[0], held_out[-1]
