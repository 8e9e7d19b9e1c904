"""How fast `bise eval` is beside lm-eval's own class for transformers, `hf`.

`lm_eval_ratio`: questions a second of `bise eval` over those of `hf` in bfloat16, both with the model loaded, on the same questions
by the same task files, the geometric mean over tasks; `lm_eval_ratio_float32`: the same of hf in float32, which is the faster one
on a processor without bfloat16. Each at the batch size of `lm_eval_side.py` that is fastest.
DATA is the directory of questions that `--set data.root` names. The peer runs in an environment of its own,
~/.cache/bise/evals-peers, made with
`python -m venv DIR; DIR/bin/pip install -r tests/peers/requirements-evals.txt` (or `BISE_EVALS_PEERS_PYTHON` names its Python).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bise.config import cache_home
from bise.evals import questions as questions_module
from bise.evals.api import Api
from bise.evals.questions import LIKELIHOOD, documents
from bise.evals.results import Protocol, Usage
from bise.evals.run import make_result
from bise.evals.target import Target, local_target
from bise.evals.tasks import DataSettings, EvalSettings, Suite, Task
from bise.weights.store import DEFAULT_MODEL

_TASKS = {"blimp": 600, "xcopa-it": 300, "truthfulqa-mc1": 30}  # and how many questions of each
_SUITES = ("blimp", "xcopa", "truthfulqa")
_WARM = 16  # questions before the clock starts
_TASK_FILES = Path(questions_module.__file__).with_name("task_files")


def measure_speed(data: Path) -> dict[str, object]:
    """Questions a second on both sides, and whether the scores agree."""
    figures: dict[str, object] = {}
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place, local_target(DEFAULT_MODEL, lambda _: None) as target:
        exported = Path(place) / "hf"
        subprocess.run([sys.executable, "-m", "bise", "export", DEFAULT_MODEL, "--to", "hf", str(exported)], check=True)
        for name, count in _TASKS.items():
            settings = EvalSettings(DataSettings(data), limit=count)
            (task,) = (task for suite in LIKELIHOOD for task in _found(suite, settings) if task.name == name)
            questions = Path(place) / f"{name}.json"
            questions.write_text(json.dumps(documents(task, settings)), encoding="utf-8")
            ours, theirs = _ours(task, target, settings), _theirs(name, exported, questions)
            for dtype, side in theirs.items():
                ratios.setdefault(dtype, []).append(ours["rate"] / side["rate"])
            agree = all(abs(ours["score"] - side["score"]) <= ours["standard_error"] for side in theirs.values())
            figures[name] = {"bise": ours, "hf": theirs, "scores_agree": agree}
            print(f"{name}: {figures[name]}", file=sys.stderr, flush=True)
    means = {dtype: round(float(np.exp(np.mean(np.log(each)))), 3) for dtype, each in ratios.items()}
    return {"lm_eval_ratio": means["bfloat16"], "lm_eval_ratio_float32": means["float32"], "lm_eval": figures}


def _found(suite: Suite, settings: EvalSettings) -> Sequence[Task]:
    return suite.tasks(settings) if suite.name in _SUITES else ()


def _ours(task: Task, target: Target, settings: EvalSettings) -> dict[str, float]:
    api = Api(target)
    task.measure(api, replace(settings, limit=_WARM), _silent)
    began = time.perf_counter()
    items = task.measure(api, settings, _silent)
    seconds = time.perf_counter() - began
    result = make_result(task, items, Protocol("likelihood", task.harness, task.version, 0, "none", 0), Usage())
    assert result.standard_error is not None
    return {
        "rate": round(len(items) / seconds, 3),
        "score": result.value,
        "standard_error": round(result.standard_error, 4),
    }


def _silent(done: int, total: int) -> None:
    """Nobody watches."""


def _theirs(name: str, exported: Path, questions: Path) -> dict[str, Any]:
    """The peer in each precision, at its fastest batch size."""
    python = os.environ.get("BISE_EVALS_PEERS_PYTHON") or str(cache_home() / "evals-peers" / "bin" / "python")
    script = str(Path(__file__).with_name("lm_eval_side.py"))
    command = [python, "-P", script, str(_TASK_FILES / f"{name}.yaml"), str(exported), str(questions)]
    # -P: a library that looks for a package named kernels must not find the file beside the script.
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
