"""How much of one CUDA device pretraining uses: `python -m benchmarks.gpu_training [--json]`.

A model of 12 layers of 768 (126 million weights, 32,768 tokens of vocabulary, windows of 2,048) takes steps of the product's
own loop on random tokens, in bfloat16 with compiled blocks; the first steps, which compile, do not count.

    gpu_mfu = tokens a second * operations a token / peak

Operations a token are those of `bise.train.compute`: 6 for each weight in a matrix product, and 6 * layers * window * heads *
head size for causal attention. The peak is the device's dense bfloat16 rate in its maker's data sheet. `mfu_of_measured_peak`
divides by what a product of two large matrices reaches on it instead, which is what the bar of `bise train` shows; for a device
whose data sheet is not known here it is all there is.

It has never been run: no such device was at hand.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks.alternating import load_average, spread
from benchmarks.training_bise_side import NothingHeldOut, loop_recipe
from bise.model.transformer import Transformer
from bise.runs import RunDirectory
from bise.train.compute import flops_per_token, measured_speed
from bise.train.loop import Job, run_job
from bise.train.packing import Batch
from bise.train.recipe import CostRecipe, OptimizerRecipe
from bise.train.report import Silent
from bise.weights.spec import ModelSpec

SPEC = ModelSpec(32_768, 768, 12, 6, 2, 128, 2048, 2048)
_PEAKS = {"H100 PCIe": 756e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12}  # operations a second
_WARM_UP = 5  # steps


def measure(num_steps: int, rows: int, microbatch_rows: int) -> dict[str, Any]:
    """Rates of the steps behind the warm-up, and what share of the peak they are."""
    run = RunDirectory(Path(tempfile.mkdtemp()), "train", "benchmark")
    loop = loop_recipe(rows, microbatch_rows, threads=0, is_compiled=True)
    speed, operations = measured_speed(run, loop), flops_per_token(SPEC, SPEC.context_length)
    torch.manual_seed(1)
    job = Job(
        run=run,
        config={},
        inputs=(),
        model=Transformer(SPEC),
        num_steps=_WARM_UP + num_steps,
        batch=lambda step: _batch(step, rows),
        held_out=NothingHeldOut(),
        optimizer=OptimizerRecipe(),
        loop=loop,
        flops_per_token=operations,
        peak_flops=speed.peak_flops,
        cost=CostRecipe(),
        device=speed.device,
    )
    run_job(job, Silent())
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    rates = spread([line["tokens_per_s"] for line in lines if "tokens_per_s" in line][_WARM_UP:], 0)
    name = torch.cuda.get_device_name()
    peak = next((peak for known, peak in _PEAKS.items() if known in name), None)
    reached = rates["median"] * operations
    return {
        "gpu_mfu": round(reached / peak, 3) if peak else None,
        "mfu_of_measured_peak": round(reached / speed.peak_flops, 3),
        "tokens_per_s": rates,
        "operations_per_token": operations,
        "peak": peak,
        "measured_peak": speed.peak_flops,
        "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 1),
        "device": name,
        "torch": torch.__version__,
        "load": load_average(),
    }


def _batch(step: int, rows: int) -> Batch:
    """Windows of one document each."""
    generator = torch.Generator().manual_seed(step)
    ids = torch.randint(SPEC.vocab_size, (rows, SPEC.context_length + 1), generator=generator)
    return Batch(ids[:, :-1], ids[:, 1:], torch.zeros_like(ids[:, 1:]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=128, help="windows a step: 262,144 tokens")
    parser.add_argument("--microbatch-rows", type=int, default=16)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("This measures one CUDA device, and PyTorch finds none here. Run it where there is one.")
    report = measure(options.steps, options.rows, options.microbatch_rows)
    print(json.dumps(report, indent=2) if options.json else "\n".join(f"{k:22} {v}" for k, v in report.items()))


if __name__ == "__main__":
    main()
