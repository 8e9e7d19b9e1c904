"""The peer of evaluation_speed.py: `python lm_eval_side.py TASK.yaml MODEL QUESTIONS.json`, in an environment with lm-eval[hf].

Prints a JSON object: for each precision, questions a second at its fastest batch size, that size, and the score.
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

PRECISIONS = ("float32", "bfloat16")
BATCHES = (16, 64)
TRIED = 48  # questions with which the fastest batch size is found


def run(table: dict[str, Any], model: HFLM, questions: list[dict[str, Any]]) -> tuple[float, float]:
    """Questions a second, and the score."""
    split = DatasetDict({table["test_split"]: Dataset.from_list(questions)})
    task = ConfigurableTask(config=table | {"custom_dataset": lambda **_: split, "num_fewshot": 0})
    began = time.perf_counter()
    found = evaluate(model, {table["task"]: task}, bootstrap_iters=0)
    return len(questions) / (time.perf_counter() - began), float(found["results"][table["task"]]["acc,none"])


def main() -> None:
    """Find the fastest batch size of each precision, then measure it."""
    table = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    questions = json.loads(Path(sys.argv[3]).read_text(encoding="utf-8"))
    print(json.dumps({dtype: measure(table, questions, dtype) for dtype in PRECISIONS}))


def measure(table: dict[str, Any], questions: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
    """All questions, at the batch size that is fastest on some."""
    models, rates = {}, {}
    for batch in BATCHES:
        models[batch] = load(dtype, batch)
        run(table, models[batch], questions[:8])
        rates[batch] = run(table, models[batch], questions[:TRIED])[0]
        print(dtype, batch, rates[batch], file=sys.stderr, flush=True)
    batch = max(rates, key=lambda each: rates[each])
    rate, score = run(table, models[batch], questions)
    return {"rate": round(rate, 3), "score": score, "batch": batch, "threads": torch.get_num_threads()}


def load(dtype: str, batch: int) -> HFLM:
    """The exported model, whose texts begin with their first token as ours do."""
    return HFLM(pretrained=sys.argv[2], dtype=dtype, batch_size=batch, device="cpu", add_bos_token=True)


if __name__ == "__main__":
    main()
