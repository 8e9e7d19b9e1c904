"""Our half of lora_vs_trl.py: an adapter tuned by the product's own loop, told by Turns when to go on."""

import json
import resource
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.lora_work import ADAPTER, BATCH_ROWS, RATES, ROW_LENGTH, conversations
from benchmarks.training_bise_side import loop_recipe, run_in_turns
from benchmarks.training_turns import Turns
from bise.model.files import load_model
from bise.model.frozen import load_frozen
from bise.model.lora import add_adapter, halve_frozen
from bise.train.packing import PackedRows, Sample
from bise.train.step import faster_precision
from bise.tune.data import Example, rows
from bise.weights.spec import read_spec


def layout(vocab_size: int) -> PackedRows:
    """The conversations in rows."""
    examples = [
        Example(Sample(np.array(ids, np.int64), np.array(labels) >= 0)) for ids, labels in conversations(vocab_size)
    ]
    return rows(examples, ROW_LENGTH, seed=0)


def main(order: dict[str, object]) -> None:
    """Tune beside the model in a directory, quantised or not, as ordered; the last answer tells the largest memory."""
    directory = Path(str(order["model"]))
    turns = Turns(int(str(order["num_steps"])))
    model = load_frozen(directory) if read_spec(directory).quantisation else load_model(directory)
    torch.manual_seed(0)
    add_adapter(model, ADAPTER)
    precision = faster_precision()
    if precision == "bf16":
        halve_frozen(model)
    packed = layout(model.spec.vocab_size)
    loop = loop_recipe(BATCH_ROWS, 1, threads=int(str(order["threads"])), is_compiled=False)
    loop = replace(loop, precision=precision)
    run_in_turns(turns, model, lambda step: packed.batch(step, BATCH_ROWS), loop, RATES)
    turns.answer(peak_gb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9, 2))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
