"""Our half of training_vs_peers.py: the product's own loop, as `bise train` and `bise tune` run it, told by Turns when to go on."""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.training_data import ROW_LENGTH
from benchmarks.training_turns import Turns, bits_per_byte
from bise.model.transformer import Transformer
from bise.runs import RunDirectory
from bise.tokenizer.shards import open_shards
from bise.train.compute import flops_per_token, measured_speed
from bise.train.loader import shard_rows
from bise.train.loop import HeldOutLosses, Job, Outcome, run_job
from bise.train.packing import Batch
from bise.train.recipe import CostRecipe, LoopRecipe, OptimizerRecipe
from bise.train.report import Silent
from bise.train.step import Precision
from bise.weights.spec import ModelSpec

_NEVER = 10**6  # steps


class NothingHeldOut:
    """The benchmark measures at the end, and every program alike."""

    def measure(self, model: Transformer, precision: Precision) -> HeldOutLosses:
        """Nothing."""
        del model, precision
        return {}


def loop_recipe(batch_rows: int, microbatch_rows: int, *, threads: int, is_compiled: bool) -> LoopRecipe:
    """Steps without evaluations and checkpoints between them."""
    return LoopRecipe(
        batch_rows, microbatch_rows, eval_every=_NEVER, checkpoint_every=_NEVER, threads=threads, compile=is_compiled
    )


def run_in_turns(
    turns: Turns,
    model: Transformer,
    rows: Callable[[int], Batch],
    loop: LoopRecipe,
    optimizer: OptimizerRecipe,
) -> Outcome:
    """Train to the end of the turns; they add up the seconds of the loader and the places that hold no token."""
    is_first = True  # the loop looks at a batch before it begins

    def batch(step: int) -> Batch:
        nonlocal is_first
        if is_first:
            is_first = False
            return rows(step)
        turns.step_begins()
        began = time.perf_counter()
        found = rows(step)
        turns.add(loader_s=time.perf_counter() - began, padding=int((found.documents_BT < 0).sum()))
        return found

    run = RunDirectory(Path(tempfile.mkdtemp()), "train", "benchmark")
    speed = measured_speed(run, loop)
    job = Job(
        run=run,
        config={},
        inputs=(),
        model=model,
        num_steps=turns.num_steps,
        batch=batch,
        held_out=NothingHeldOut(),
        optimizer=optimizer,
        loop=replace(loop, precision=speed.precision),
        flops_per_token=flops_per_token(model.spec, ROW_LENGTH),
        peak_flops=speed.peak_flops,
        cost=CostRecipe(),
    )
    outcome = run_job(job, Silent())
    turns.stop()
    return outcome


def main(order: dict[str, object]) -> None:
    """Train as ordered."""
    rows, data = int(str(order["rows"])), Path(str(order["data"]))
    loader = shard_rows(open_shards(data / "train"), bos_id=1, row_length=ROW_LENGTH, seed=1)
    torch.manual_seed(1)
    model = Transformer(ModelSpec(**order["spec"]))  # type: ignore[arg-type]
    turns = Turns(int(str(order["num_steps"])))
    loop = loop_recipe(rows, rows, threads=int(str(order["threads"])), is_compiled=True)
    outcome = run_in_turns(turns, model, lambda step: loader.batch(step, rows), loop, OptimizerRecipe())
    held_out = np.load(data / "held_out.npz")
    for block in model.layers:
        block._compiled_call_impl = None
    turns.answer(bits_per_byte=bits_per_byte(model, held_out["rows"], held_out["sizes"]), loss=outcome.loss)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
