import json
from dataclasses import replace
from pathlib import Path

import pytest

from bise.errors import InputError, UnavailableError
from bise.evals.api import Api
from bise.evals.results import read_items
from bise.evals.run import run_suites
from bise.evals.target import Target
from bise.evals.tasks import DataSettings, EvalSettings

PARAMETERS = {"type": "dict", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather.now", "description": "The weather.", "parameters": PARAMETERS}
LONG = "And the wind blew over the lake. " * 200


def silent(done: int, total: int, task: str) -> None:
    pass


def put(root: Path, name: str, *records: dict[str, object]) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / f"{name}-00.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")


@pytest.fixture
def settings(tmp_path: Path) -> EvalSettings:
    no_comma = {"instruction_id_list": ["en:punctuation:no_comma"], "kwargs": [{}]}
    upper = {"instruction_id_list": ["en:change_case:english_capital"], "kwargs": [{}]}
    put(
        tmp_path,
        "ifeval/en",
        {"prompt": "Say hello.", **no_comma},
        {"prompt": "Say hello!", **upper},
        {"prompt": LONG, **no_comma},
    )
    for language in ("es", "fr"):
        put(tmp_path, f"ifeval/{language}", {"prompt": "Hola.", **no_comma})
    for part in ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance"):
        text = LONG if part == "parallel" else "Is it raining in Bern?"
        question = [[{"role": "user", "content": text}]]
        put(tmp_path, f"bfcl/{part}", {"id": part, "question": question, "function": [FUNCTION]})
        truth = [{"weather.now": {"city": ["Bern"]}}]
        put(tmp_path, f"bfcl/answer_{part}", {"id": part, "ground_truth": truth})
    return EvalSettings(DataSettings(tmp_path), max_tokens=12)


def test_chats_are_scored_and_what_does_not_fit_is_wrong(
    target: Target, settings: EvalSettings, tmp_path: Path
) -> None:
    results = run_suites(target, ["ifeval", "bfcl"], settings, tmp_path / "out", silent)
    assert all(task.protocol.template == "chat" for task in results.tasks)
    assert all(task.protocol.max_tokens == 12 for task in results.tasks)
    comma, upper, long = read_items(tmp_path / "out", "ifeval-en")
    assert comma.value == float("," not in comma.answer)
    assert upper.value == float(upper.answer.isupper())
    assert (long.value, long.cut) == (0.0, True)
    (parallel,) = read_items(tmp_path / "out", "bfcl-parallel")
    assert (parallel.value, parallel.cut) == (0.0, True)
    noted = results.task("bfcl-parallel")
    assert noted is not None
    assert "1 of 1 prompts did not fit" in noted.note
    put(tmp_path, "ifeval/en", {"prompt": "Rhyme.", "instruction_id_list": ["en:keywords:rhyme"], "kwargs": [{}]})
    with pytest.raises(InputError, match="rhyme"):
        run_suites(target, ["ifeval"], settings, tmp_path / "other", silent)


def test_a_server_that_refuses_everything_is_told(target: Target) -> None:
    with pytest.raises(UnavailableError, match="messages"):
        Api(target).chat([{"messages": "no list"}])
    gone = replace(target, url="http://127.0.0.1:9/v1")
    with pytest.raises(UnavailableError, match="same command goes on"):
        Api(gone).chat([{"messages": []}])
