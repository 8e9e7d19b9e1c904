"""The peer of evaluation_speed.py: `python lm_eval_side.py TASK.yaml MODEL QUESTIONS.json`, in an environment with lm-eval[hf].

Prints a JSON object: questions a second of the fastest of its settings, that setting, and the score.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset, DatasetDict
from lm_eval.api.task import ConfigurableTask
from lm_eval.evaluator import evaluate
from lm_eval.models.huggingface import HFLM

SETTINGS = [(dtype, batch) for dtype in ("float32", "bfloat16") for batch in (16, 64)]
TRIED = 48  # questions with which the fastest setting is found


def run(table: dict[str, Any], model: HFLM, questions: list[dict[str, Any]]) -> tuple[float, float]:
    """Questions a second, and the score."""
    split = DatasetDict({table["test_split"]: Dataset.from_list(questions)})
    task = ConfigurableTask(config=table | {"custom_dataset": lambda **_: split, "num_fewshot": 0})
    began = time.perf_counter()
    found = evaluate(model, {table["task"]: task}, bootstrap_iters=0)
    return len(questions) / (time.perf_counter() - began), float(found["results"][table["task"]]["acc,none"])


def main() -> None:
    """Find the fastest setting, then measure it."""
    table = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    questions = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    rates = {}
    for dtype, batch in SETTINGS:
        model = load(dtype, batch)
        run(table, model, questions[:8])
        rates[dtype, batch] = run(table, model, questions[:TRIED])[0]
        print(dtype, batch, rates[dtype, batch], file=sys.stderr, flush=True)
    dtype, batch = max(rates, key=lambda setting: rates[setting])
    rate, score = run(table, load(dtype, batch), questions)
    best = {"rate": round(rate, 3), "score": score, "dtype": dtype, "batch": batch, "threads": torch.get_num_threads()}
    print(json.dumps(best))


def load(dtype: str, batch: int) -> HFLM:
    """The exported model, whose texts begin with their first token as ours do."""
    return HFLM(pretrained=sys.argv[2], dtype=dtype, batch_size=batch, device="cpu", add_bos_token=True)


if __name__ == "__main__":
    main()
