import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.model import LM

from bise.errors import InputError, NotFoundError
from bise.evals.harness import measure
from bise.evals.results import read_items
from bise.evals.run import run_suites
from bise.evals.target import Target
from bise.evals.tasks import DataSettings, EvalSettings
from bise.model.frozen import load_frozen
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.store import shipped_directory

PAIRS = [
    ("The boats lie still in the harbour.", "The boats lies still in the harbour."),
    ("She has seen the lake.", "She have seen the lake."),
    ("Nobody had ever rowed so far.", "Everybody had ever rowed so far."),
    ("The children have washed themselves.", "The children have washed herself."),
]
FILES: dict[str, list[dict[str, Any]]] = {
    "blimp/all-00": [
        {"sentence_good": good, "sentence_bad": bad, "UID": f"p{i % 2}"} for i, (good, bad) in enumerate(PAIRS)
    ],
    "mmlu/test-00": [
        {
            "subject": s,
            "question": f"What is {n} and {n}?",
            "A": "2",
            "B": "4",
            "C": "6",
            "D": "8",
            "answer": str(n - 1),
        }
        for s in ("sums", "more_sums")
        for n in (1, 2, 3, 4)
    ],
    "gsm8k/test-00": [
        {"question": f"Ada has {n} pears and eats one. How many are left?", "answer": f"{n} - 1 is left.\n#### {n - 1}"}
        for n in (3, 4, 5)
    ],
    "xcopa-it/test-00": [
        {
            "premise": "Ha piovuto.",
            "choice1": "La strada è bagnata.",
            "choice2": "Il gatto parla.",
            "question": "effect",
            "label": 0,
        },
        {"premise": "Il vetro si ruppe.", "choice1": "Era blu.", "choice2": "Cadde.", "question": "cause", "label": 1},
    ],
    "truthfulqa/test-00": [
        {
            "Question": "Is the moon made of cheese?",
            "Best Answer": "No, of rock",
            "Correct Answers": "No, of rock; It is rock",
            "Incorrect Answers": "Yes; Of green cheese; Of milk",
        }
    ],
    **{
        f"mgsm/{lang}-00": [{"question": "1 + 1", "answer": "2"}, {"question": "2 + 1", "answer": "3"}]
        for lang in ("de", "en", "es", "fr")
    },
}


@pytest.fixture
def settings(tmp_path: Path) -> EvalSettings:
    for name, records in FILES.items():
        path = tmp_path / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return EvalSettings(DataSettings(tmp_path), shots=1, max_tokens=8, root=tmp_path / "runs")


def silent(done: int, total: int, task: str) -> None:
    pass


def log_likelihoods(pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Of each text after the one before, in PyTorch."""
    model, tokenizer = load_frozen(shipped_directory()), ChatTokenizer.load(shipped_directory())
    found = []
    for context, text in pairs:
        start, ids = len(tokenizer.encode(context)) + 1, tokenizer.begin(tokenizer.encode(context + text))
        with torch.no_grad():
            logs = model(torch.tensor(ids)[None])[0].log_softmax(-1)
        found.append(sum(float(logs[place - 1, ids[place]]) for place in range(start, len(ids))))
    return found


@pytest.mark.slow
def test_every_suite_scores_its_questions(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    suites = ["blimp", "mmlu", "gsm8k", "xcopa", "truthfulqa", "mgsm"]
    results = run_suites(target, suites, settings, tmp_path / "out", silent)
    scores = {task.task: task for task in results.tasks}
    expected = {"blimp": 0.5, "mmlu": 0.25, "xcopa-it": 0.5, "truthfulqa-mc1": 0.25, "truthfulqa-mc2": 0.4}
    assert {name: task.chance for name, task in scores.items() if task.chance is not None} == pytest.approx(expected)
    for name, task in scores.items():
        items = read_items(tmp_path / "out", name)
        assert task.protocol.harness.startswith("lm-eval 0.4.")
        assert len({item.id for item in items}) == task.n == len(items)
        assert task.value == pytest.approx(sum(item.value for item in items) / len(items))
        assert not any(item.cut for item in items)
    goods, bads = (log_likelihoods([("", text) for text in texts]) for texts in zip(*PAIRS, strict=True))
    items = read_items(tmp_path / "out", "blimp")
    assert [item.value for item in items] == [float(good > bad) for good, bad in zip(goods, bads, strict=True)]
    assert {item.group for item in items} == {"p0", "p1"}
    asked = [("Ha piovuto quindi", " la strada è bagnata.", " il gatto parla.")]
    asked += [("Il vetro si ruppe perché", " era blu.", " cadde.")]
    for item, (context, *choices) in zip(read_items(tmp_path / "out", "xcopa-it"), asked, strict=True):
        nats = log_likelihoods([(context, choice) for choice in choices])
        assert item.answer == str(nats.index(max(nats)))
    assert 0 < scores["truthfulqa-mc2"].value < 1


def test_a_limit_keeps_items_and_their_parts(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    ids = {}
    for limit in (1, 3, 8):
        run_suites(target, ["mmlu"], replace(settings, limit=limit), tmp_path / str(limit), silent)
        ids[limit] = {item.id for item in read_items(tmp_path / str(limit), "mmlu")}
    assert ids[1] < ids[3] < ids[8]
    assert [len(found) for found in ids.values()] == [1, 3, 8]


class Saying(LM):
    """A model that answers what it was made with, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[str] = []

    def loglikelihood(self, requests: Any) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: Any) -> Any:
        raise NotImplementedError

    def generate_until(self, requests: Any) -> list[str]:
        self.asked = [request.args[0] for request in requests]
        return list(self.answers)


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        (" 3 - 1 is left.\n#### 2", True),
        ("So there are 12 left, no: 2.", True),
        ("$2.00", True),
        ("2,000 - 1,998 = 2", True),
        ("2 of 3", False),
        ("two", False),
        ("", False),
    ],
)
def test_the_last_number_of_an_answer_counts(answer: str, is_right: bool) -> None:
    model = Saying(answer)
    example = {"question": "Six less two?", "answer": "#### 4"}
    (sample,) = measure("gsm8k", [{"question": "Q?", "answer": "1 + 1\n#### 2", "examples": [example]}], model)
    assert bool(sample["exact_match"]) is is_right
    assert model.asked == ["Question: Six less two?\nAnswer: #### 4\n\nQuestion: Q?\nAnswer:"]


def test_a_missing_file_and_a_wrong_line_are_named(target: Target, settings: EvalSettings, tmp_path: Path) -> None:
    (tmp_path / "xcopa-it/test-00.jsonl").write_text('{"premise": "a"}')
    with pytest.raises(InputError, match=r"test-00\.jsonl, line 1, has no choice1, choice2"):
        run_suites(target, ["xcopa"], settings, tmp_path / "out", silent)
    (tmp_path / "xcopa-it/test-00.jsonl").unlink()
    with pytest.raises(NotFoundError, match=r"xcopa-it/test\.jsonl.*premise"):
        run_suites(target, ["xcopa"], settings, tmp_path / "out", silent)
    with pytest.raises(InputError, match=r"data\.root"):
        run_suites(target, ["xcopa"], EvalSettings(), tmp_path / "out", silent)
