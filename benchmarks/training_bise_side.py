"""Our half of training_vs_peers.py: the product's own loop, as `bise train` runs it, told by Turns when to go on."""

import json
import sys
import tempfile
import time
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
from bise.train.loop import HeldOutLosses, Job, run_job
from bise.train.packing import Batch
from bise.train.recipe import CostRecipe, LoopRecipe, OptimizerRecipe
from bise.train.report import Silent
from bise.train.step import Forward, Precision
from bise.weights.spec import ModelSpec


class NothingHeldOut:
    """The benchmark measures at the end, and every program alike."""

    def measure(self, forward: Forward, precision: Precision) -> HeldOutLosses:
        """Nothing."""
        del forward, precision
        return {}


def main(order: dict[str, object]) -> None:
    """Train as ordered."""
    rows, num_steps = int(str(order["rows"])), int(str(order["num_steps"]))
    data = Path(str(order["data"]))
    turns, loader_s = Turns(num_steps), 0.0
    spec = ModelSpec(**order["spec"])  # type: ignore[arg-type]
    loader = shard_rows(open_shards(data / "train"), bos_id=1, row_length=ROW_LENGTH, seed=1)
    is_first = True  # the loop looks at one batch before it begins

    def batch(step: int) -> Batch:
        nonlocal loader_s, is_first
        if not is_first:
            turns.step_begins()
        is_first = False
        began = time.perf_counter()
        found = loader.batch(step, rows)
        loader_s += time.perf_counter() - began
        return found

    torch.manual_seed(1)
    run = RunDirectory(Path(tempfile.mkdtemp()), "train", "benchmark")
    loop = LoopRecipe(
        rows, rows, eval_every=10**6, checkpoint_every=10**6, threads=int(str(order["threads"])), compile=True
    )
    speed = measured_speed(run, loop)
    job = Job(
        run=run,
        config={},
        inputs=(),
        model=Transformer(spec),
        num_steps=num_steps,
        batch=batch,
        held_out=NothingHeldOut(),
        optimizer=OptimizerRecipe(),
        loop=loop,
        flops_per_token=flops_per_token(spec, ROW_LENGTH),
        peak_flops=speed.peak_flops,
        cost=CostRecipe(),
    )
    outcome = run_job(job, Silent())
    turns.stop()
    held_out = np.load(data / "held_out.npz")
    for block in job.model.layers:
        block._compiled_call_impl = None
    bits = bits_per_byte(job.model, held_out["rows"], held_out["sizes"])
    turns.answer(bits_per_byte=bits, loader_share=loader_s / outcome.progress.seconds, loss=outcome.loss)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
