"""Every suite tells a damaged line of its files by file, line and place, before the model is asked."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from bise.errors import InputError
from bise.evals.results import EvaluatedModel
from bise.evals.run import run_suites
from bise.evals.suites import SUITES
from bise.evals.target import Target
from bise.evals.tasks import DataSettings, EvalSettings

NOBODY = Target("http://127.0.0.1:9/v1", "nobody", EvaluatedModel("nobody", "remote"))
SCHEMA = {"type": "dict", "properties": {"city": {"type": "string", "enum": ["Bern"]}}, "required": ["city"]}
CALL = {
    "id": "one",
    "question": [[{"role": "user", "content": "Does it rain in Bern?"}]],
    "function": [{"name": "weather.now", "description": "The weather.", "parameters": SCHEMA}],
}
TRUTH = {"id": "one", "ground_truth": [{"weather.now": {"city": ["Bern"]}}]}
CHAT = {
    "prompt": "Say hello twice.",
    "instruction_id_list": ["en:punctuation:no_comma", "en:length_constraints:number_words"],
    "kwargs": [None, {"num_words": 3.0, "relation": None}],
}
SUM = {"question": "1 + 1", "answer": "#### 2"}
PARTS = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
FILES: dict[str, dict[str, dict[str, Any]]] = {
    "bits-per-byte": {"texts/en": {"text": "The wind."}},
    "parity": {"pud-parallel/all": {"id": 1, "en": "The wind.", "de": "Der Wind."}},
    "blimp": {"blimp/all": {"sentence_good": "It lies.", "sentence_bad": "It lie.", "UID": "p"}},
    "mmlu": {"mmlu/test": dict.fromkeys("ABCD", "x") | {"subject": "s", "question": "?", "answer": 3}},
    "truthfulqa": {
        "truthfulqa/test": {"Question": "?", "Best Answer": "a", "Correct Answers": "a; b", "Incorrect Answers": "c"}
    },
    "xcopa": {"xcopa-it/test": {"premise": "a.", "choice1": "B.", "choice2": "C.", "question": "cause", "label": 0}},
    "gsm8k": {"gsm8k/test": SUM},
    "mgsm": {f"mgsm/{language}": SUM | {"answer": 2} for language in ("de", "en", "es", "fr")},
    "ifeval": {f"ifeval/{language}": CHAT for language in ("en", "es", "fr")},
    "bfcl": {f"bfcl/{part}": CALL for part in PARTS} | {f"bfcl/answer_{part}": TRUTH for part in PARTS[:-1]},
}
FREE = ("parity", "id")  # whose value nothing depends on

Place = tuple[str | int, ...]
INNER: list[tuple[str, str, Place, object, str]] = [
    ("bits-per-byte", "texts/en", ("text",), "\ud83d", "surrogate"),
    ("parity", "pud-parallel/all", ("de",), None, "de is null, but must be a text"),
    ("mmlu", "mmlu/test", ("answer",), "A", "answer is 'A', but must be one of 0, 1, 2, 3"),
    ("truthfulqa", "truthfulqa/test", ("Incorrect Answers",), " ; ", "between semicolons"),
    ("xcopa", "xcopa-it/test", ("question",), "why", "one of cause, effect"),
    ("xcopa", "xcopa-it/test", ("choice1",), "", "choice1 is '', but must be a text that is not empty"),
    ("gsm8k", "gsm8k/test", ("answer",), "two", "ends with #### and a number"),
    ("ifeval", "ifeval/en", ("instruction_id_list", 0), "en:keywords:rhyme", r"\[0\] is 'en:keywords:rhyme'"),
    ("ifeval", "ifeval/en", ("kwargs",), [{}], "instruction_id_list has 2 entries, but kwargs 1"),
    ("ifeval", "ifeval/en", ("kwargs", 1), {}, r"kwargs\[1\] has no num_words, as en:length_constraints:number_words"),
    ("ifeval", "ifeval/en", ("kwargs", 1, "num_words"), None, r"kwargs\[1\] has no num_words"),
    ("ifeval", "ifeval/en", ("kwargs", 1, "num_words"), "few", r"kwargs\[1\]\.num_words is 'few'"),
    ("ifeval", "ifeval/en", ("kwargs", 1, "relation"), 4, r"kwargs\[1\]\.relation is 4"),
    ("bfcl", "bfcl/simple_python", ("question",), [], "question is a list of 0, but must be a list of at least 1"),
    ("bfcl", "bfcl/simple_python", ("question", 0, 0), {"role": "user"}, r"question\[0\]\[0\] has no content"),
    ("bfcl", "bfcl/simple_python", ("question", 0, 0, "role"), "boss", r"question\[0\]\[0\]\.role is 'boss'"),
    ("bfcl", "bfcl/simple_python", ("function", 0), {"name": "f"}, r"function\[0\] has no parameters"),
    (
        "bfcl",
        "bfcl/simple_python",
        ("function", 0, "parameters", "properties", "city"),
        "text",
        r"properties\.city is 'text'",
    ),
    (
        "bfcl",
        "bfcl/simple_python",
        ("function", 0, "parameters", "required"),
        "city",
        r"parameters\.required is 'city'",
    ),
    ("bfcl", "bfcl/answer_simple_python", ("ground_truth", 0), {}, r"ground_truth\[0\] is an object"),
    ("bfcl", "bfcl/answer_simple_python", ("ground_truth", 0, "weather.now"), [], r"weather\.now is a list of 0"),
    ("bfcl", "bfcl/answer_simple_python", ("ground_truth", 0, "weather.now", "city"), "Bern", r"city is 'Bern'"),
]


def outer() -> Iterator[tuple[str, str, Place, object, str]]:
    """Each field of each kind of line, in the files that are read first, as a value that it never may have."""
    for suite, files in FILES.items():
        for file in (next(iter(files)), *(file for file in files if file == "bfcl/answer_simple_python")):
            yield from ((suite, file, (name,), [{}, 1.5], name) for name in files[file] if (suite, name) != FREE)


def damaged(record: Mapping[str, Any], place: Place, value: object) -> dict[str, Any]:
    """A copy with one value changed."""
    found: Any = deepcopy(dict(record))
    inner = found
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    return dict(found)


def put(root: Path, name: str, *records: Mapping[str, Any]) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / f"{name}.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")


def run(suite: str, root: Path) -> None:
    run_suites(NOBODY, [suite], EvalSettings(DataSettings(root)), root / "out", lambda *_: None)


def test_every_suite_is_here() -> None:
    assert FILES.keys() == SUITES.keys() == {case[0] for case in (*INNER, *outer())}


@pytest.mark.parametrize(("suite", "file", "place", "value", "told"), [*INNER, *outer()])
def test_a_damaged_line_is_named_with_its_place(
    suite: str, file: str, place: Place, value: object, told: str, tmp_path: Path
) -> None:
    for name, record in FILES[suite].items():
        put(tmp_path, name, record)
    good = FILES[suite][file]
    put(tmp_path, file, good, damaged(good, place, value))
    with pytest.raises(InputError, match=rf"{file}\.jsonl, line 2, is damaged: .*{told}"):
        run(suite, tmp_path)


def test_a_schema_that_is_nested_without_end_is_told(tmp_path: Path) -> None:
    for name, record in FILES["bfcl"].items():
        put(tmp_path, name, record)
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"items": deep}
    put(tmp_path, "bfcl/simple_python", damaged(CALL, ("function", 0, "parameters"), deep))
    with pytest.raises(InputError, match=r"simple_python\.jsonl, line 1, is damaged: it is nested too deeply"):
        run("bfcl", tmp_path)


def test_a_question_whose_answer_is_missing_is_told(tmp_path: Path) -> None:
    for name, record in FILES["bfcl"].items():
        put(tmp_path, name, record)
    put(tmp_path, "bfcl/answer_simple_python", TRUTH | {"id": "two"})
    with pytest.raises(
        InputError, match=r"answer_simple_python\.jsonl has no answer with the id one, of 1 question in .*"
    ):
        run("bfcl", tmp_path)
