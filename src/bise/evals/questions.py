"""The suites that lm-eval scores: which files they read, what guessing gets, and how records become its documents."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bise.config import stay_offline
from bise.evals.api import Api, Progress
from bise.evals.data import Questions, Record, find_files, read_records, sample
from bise.evals.results import Item, item_id
from bise.evals.shapes import Shape, is_wrong, one_of, some_text, text_or_integer
from bise.evals.tasks import EvalSettings, Suite, Task

_ASK = {
    "de": ("Frage", "Antwort"),
    "en": ("Question", "Answer"),
    "es": ("Pregunta", "Respuesta"),
    "fr": ("Question", "Réponse"),
}


def _same(record: Record) -> Record:
    return record


@dataclass(frozen=True)
class _Kind:
    """One task file and the questions that it takes."""

    file: str  # of `task_files`
    questions: Questions
    scoring: Literal["likelihood", "generation"]
    metric: str = "acc"
    language: str = "en"
    shots: int = 0
    max_tokens: int | None = None
    group: str = ""  # field that cuts it into parts; examples come from the same part
    prepare: Callable[[Record], Record] = _same
    chance: Callable[[Record], float] | None = None  # of a prepared record
    name: str = ""  # where it is not the file's
    is_binary: bool = True
    note: str = ""


def _answers(text: str) -> list[str]:
    return [answer.strip() for answer in text.split(";") if answer.strip()]


def _best_and_false(record: Record) -> Record:
    return record | {"choices": [record["Best Answer"].strip(), *_answers(record["Incorrect Answers"])]}


def _true_and_false(record: Record) -> Record:
    true, false = _answers(record["Correct Answers"]), _answers(record["Incorrect Answers"])
    return record | {"choices": true + false, "num_true": len(true)}


def _in_language(language: str, record: Record) -> Record:
    ask, reply = _ASK[language]
    return record | {"ask": ask, "reply": reply}


def _answers_of_a_question(value: object) -> str:
    """Several answers in one text, between semicolons."""
    return some_text(value) or ("" if _answers(str(value)) else is_wrong(value, "answers between semicolons"))


def _ends_with_a_number(value: object) -> str:
    _, mark, number = str(value).rpartition("####")
    has_number = bool(mark) and any(map(str.isdigit, number))
    return some_text(value) or ("" if has_number else is_wrong(value, "a text that ends with #### and a number"))


def _texts(*names: str) -> dict[str, Shape]:
    return dict.fromkeys(names, some_text)


_DRAWN = "Examples are drawn from the other questions, since the files hold no others."
_TRUTHFUL = Questions(
    "truthfulqa/test",
    _texts("Question", "Best Answer") | dict.fromkeys(("Correct Answers", "Incorrect Answers"), _answers_of_a_question),
)
_BLIMP = _Kind(
    "blimp",
    Questions("blimp/all", _texts("sentence_good", "sentence_bad") | {"UID": text_or_integer}),
    "likelihood",
    group="UID",
    chance=lambda _: 0.5,
)
_MMLU = _Kind(
    "mmlu",
    Questions("mmlu/test", _texts("subject", "question", "A", "B", "C", "D") | {"answer": one_of("0", "1", "2", "3")}),
    "likelihood",
    shots=5,
    group="subject",
    chance=lambda _: 0.25,
    note=_DRAWN,
)
_GSM8K = _Kind(
    "gsm8k",
    Questions("gsm8k/test", {"question": some_text, "answer": _ends_with_a_number}),
    "generation",
    "exact_match",
    shots=5,
    max_tokens=256,
    note=_DRAWN,
)
_MGSM = [
    _Kind(
        "mgsm",
        Questions(f"mgsm/{language}", {"question": some_text, "answer": text_or_integer}),
        "generation",
        "exact_match",
        language,
        shots=5,
        max_tokens=16,
        prepare=partial(_in_language, language),
        name=f"mgsm-{language}",
        note=_DRAWN,
    )
    for language in _ASK
]
_TRUTHFULQA = [
    _Kind(
        "truthfulqa-mc1",
        _TRUTHFUL,
        "likelihood",
        prepare=_best_and_false,
        chance=lambda record: 1 / len(record["choices"]),
    ),
    _Kind(
        "truthfulqa-mc2",
        _TRUTHFUL,
        "likelihood",
        metric="probability",
        prepare=_true_and_false,
        chance=lambda record: record["num_true"] / len(record["choices"]),
        is_binary=False,
    ),
]
_XCOPA = _Kind(
    "xcopa-it",
    Questions(
        "xcopa-it/test",
        _texts("premise", "choice1", "choice2") | {"question": one_of("cause", "effect"), "label": one_of("0", "1")},
    ),
    "likelihood",
    language="it",
    chance=lambda _: 0.5,
)


_KINDS = (_BLIMP, _MMLU, *_TRUTHFULQA, _XCOPA, _GSM8K, *_MGSM)


def _tasks(suite: str, kinds: Sequence[_Kind], settings: EvalSettings) -> list[Task]:
    harness = f"lm-eval {version('lm_eval')}"
    return [
        Task(
            suite,
            kind.name or kind.file,
            kind.metric,
            files := find_files(settings.data.root, kind.questions),
            partial(_measure, kind, files),
            kind.scoring,
            kind.language,
            harness,
            num_shots=_num_shots(kind, settings),
            template="chat" if settings.chat and kind.scoring == "generation" else "none",
            max_tokens=(settings.max_tokens or kind.max_tokens) if kind.max_tokens else None,
            is_binary=kind.is_binary,
            note=kind.note if _num_shots(kind, settings) else "",
        )
        for kind in kinds
    ]


def _num_shots(kind: _Kind, settings: EvalSettings) -> int:
    return settings.shots if settings.shots is not None and kind.shots else kind.shots


def _measure(kind: _Kind, files: Sequence[Path], api: Api, settings: EvalSettings, progress: Progress) -> list[Item]:
    stay_offline()
    from bise.evals.harness import ApiModel, measure

    drawn, records = _documents(kind, files, settings)
    model = ApiModel(
        api,
        progress,
        chat=bool(settings.chat) and kind.scoring == "generation",
        max_tokens=settings.max_tokens or kind.max_tokens,
    )
    samples = measure(kind.file, records, model)
    return [
        _item(kind, asked, record, sample, cut=sample["doc_id"] in model.cut)
        for asked, record, sample in zip(drawn, records, samples, strict=True)
    ]


def _documents(kind: _Kind, files: Sequence[Path], settings: EvalSettings) -> tuple[list[Record], list[Record]]:
    """The questions that are drawn, as the files have them, and as the task file takes them."""
    everything = list(read_records(files, kind.questions.fields))
    drawn = sample(iter(everything), settings.limit, settings.seed)
    examples = _examples(drawn, everything, kind, settings)
    asked = [kind.prepare(_fields(record, kind)) for record in drawn]
    return drawn, [record | {"examples": shown} for record, shown in zip(asked, examples, strict=True)]


def documents(task: Task, settings: EvalSettings) -> list[Record]:
    """What lm-eval gets as the documents of one of these tasks, for those who want to give it to another model."""
    (kind,) = (kind for kind in _KINDS if (kind.name or kind.file) == task.name)
    return _documents(kind, task.files, settings)[1]


def _examples(
    drawn: Sequence[Record], everything: Sequence[Record], kind: _Kind, settings: EvalSettings
) -> list[list[Record]]:
    """For each question, others of its part, the same for every model."""
    num_shots = _num_shots(kind, settings)
    if not num_shots:
        return [[] for _ in drawn]
    generator = np.random.default_rng(settings.seed)
    parts: dict[object, list[Record]] = {}
    for record in everything:
        parts.setdefault(record.get(kind.group), []).append(record)
    found = []
    for record in drawn:
        others = [other for other in parts[record.get(kind.group)] if other is not record]
        order = generator.permutation(len(others))[:num_shots]
        found.append([_fields(others[i], kind) for i in order.tolist()])
    return found


def _fields(record: Record, kind: _Kind) -> Record:
    """What a task file uses of a record, as texts: a column of lm-eval's table holds one type."""
    return {name: str(record[name]) for name in kind.questions.fields}


def _item(kind: _Kind, asked: Record, record: Record, sample: Any, *, cut: bool) -> Item:
    prompt = str(sample["arguments"][0][0])
    answers = sample["filtered_resps"]
    answer, expected = str(sample["resps"][0][0]), str(sample["target"])
    if kind.scoring == "likelihood":
        scores = np.array([likelihood for likelihood, _ in answers])
        answer, prompt = str(int(scores.argmax())), prompt + str(sample["arguments"][0][1])
    if kind.metric == "probability":
        shares = np.exp(scores - scores.max())
        value, expected = float(shares[: record["num_true"]].sum() / shares.sum()), ""
    else:
        value = float(sample[kind.metric])
    return Item(
        item_id(json.dumps(asked, sort_keys=True, ensure_ascii=False)),
        value,
        1.0,
        len(prompt.encode()),
        kind.language,
        str(asked[kind.group]) if kind.group else "",
        answer,
        expected,
        kind.chance(record) if kind.chance else None,
        cut,
    )


def _suite(name: str, about: str, *kinds: _Kind) -> Suite:
    return Suite(name, about, partial(_tasks, name, kinds), modules=("lm_eval", "datasets"))


LIKELIHOOD = (
    _suite("blimp", "grammar: the right of two sentences is the likelier (English)", _BLIMP),
    _suite("mmlu", "knowledge of 57 subjects, four choices (English)", _MMLU),
    _suite("truthfulqa", "true answers rather than common errors (English)", *_TRUTHFULQA),
    _suite("xcopa", "causes and effects, two choices (Italian)", _XCOPA),
)
GENERATION = (
    _suite("gsm8k", "word problems, answered step by step (English)", _GSM8K),
    _suite("mgsm", "the same word problems in four languages, answered by a number", *_MGSM),
)
