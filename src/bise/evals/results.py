"""What `bise eval` leaves: scores with the protocol that made them, and a log of every item.

A directory holds `results.json` and for each task `items/TASK.jsonl`. Every score is one law, so that one bootstrap does
for all: the sum of its items' values over the sum of their weights. A right answer has value 1 and weight 1; a document
has its bits as value and its bytes as weight.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bise.config import from_table
from bise.errors import InputError, NotFoundError
from bise.runs import write_atomically

RESULTS = "results.json"
ITEMS = "items"
_FORMAT = 1
_ID_DIGITS = 24  # of SHA-256, in hex


@dataclass(frozen=True)
class Item:
    """One question or document, and how the model did on it."""

    id: str  # hash of the input, the same for every model: see `item_id`
    value: float
    weight: float = 1.0
    size_bytes: int = 0  # of the input's text
    language: str = ""  # such as "fr"; nothing where it is not known
    group: str = ""  # of a task in parts: a subject of MMLU, a paradigm of BLiMP
    answer: str = ""  # what the model wrote or chose, where it is asked for an answer
    expected: str = ""
    chance: float | None = None  # what guessing would get; None where that means nothing
    cut: bool = False  # its prompt did not fit: the model saw the end of it alone, or nothing where it is a chat


@dataclass(frozen=True)
class EvaluatedModel:
    """The model that was asked, and how it was reached."""

    name: str  # in the store, or the id that the API knows it by
    kind: Literal["local", "remote"]
    sha256: str = ""  # of its manifest, or of its weights where it has none; nothing for a remote model
    url: str = ""  # of a remote API
    bits: int | None = None  # of most weights


@dataclass(frozen=True)
class DataFile:
    """A file of questions."""

    path: str  # below the root of the data
    sha256: str


@dataclass(frozen=True)
class Protocol:
    """How a score was made: two scores are comparable when this is equal."""

    scoring: Literal["likelihood", "generation"]
    harness: str  # such as "lm-eval 0.4.13"
    task_version: str
    num_shots: int
    template: str  # "none", or whose chat template: "chat"
    seed: int
    limit: int | None = None  # items asked at most; None for all
    max_tokens: int | None = None  # of an answer
    context: int | None = None  # tokens that a likelihood may look back on, at most
    bise: str = ""  # version
    data: tuple[DataFile, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What a task took."""

    seconds: float = 0.0
    num_requests: int = 0
    num_prompt_tokens: int = 0
    num_completion_tokens: int = 0
    cost: str = ""  # with its currency, from prices that the user stated


@dataclass(frozen=True)
class TaskResult:
    """A score, and what it is worth."""

    suite: str
    task: str  # also the name of its file of items
    metric: str  # such as "acc" or "bits_per_byte"
    n: int  # items
    value: float
    higher_is_better: bool
    is_binary: bool  # every value is 0 or 1
    protocol: Protocol
    language: str = ""
    standard_error: float | None = None  # None for a single item
    chance: float | None = None  # what guessing gets; None where that means nothing
    minimum_detectable_effect: float | None = None  # smallest true distance from a fixed value found 4 times in 5
    at_chance: bool | None = None  # not distinguishable from chance at 95 %; None where chance means nothing
    date: str = ""  # UTC, ISO 8601
    usage: Usage = field(default_factory=Usage)
    note: str = ""  # what a reader must know


@dataclass(frozen=True)
class Results:
    """Everything that was measured on one model."""

    model: EvaluatedModel
    tasks: tuple[TaskResult, ...]
    format: int = _FORMAT

    def task(self, name: str) -> TaskResult | None:
        """The result of that name, if there is one."""
        return next((task for task in self.tasks if task.task == name), None)


def item_id(*parts: str) -> str:
    """Name an item by what it asks, so that the same item has the same name for every model and order."""
    digest = hashlib.sha256("\0".join(parts).encode())
    return digest.hexdigest()[:_ID_DIGITS]


def write_results(directory: Path, results: Results) -> None:
    """Write results.json so that readers see the old or the new, never a part."""
    directory.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_known(asdict(results)), indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(directory / RESULTS, text + "\n")


def read_results(directory: Path) -> Results:
    """Read what `bise eval` wrote.

    Raises:
        NotFoundError: the directory holds no results.
        InputError: they are damaged, or of a format that this version does not know.
    """
    path = directory / RESULTS
    if not path.is_file():
        raise NotFoundError(f"There are no results at {path}. Make some with: bise eval MODEL SUITE")
    table = _parsed(path.read_text(encoding="utf-8"), str(path))
    if table.get("format") != _FORMAT:
        raise InputError(f"{path} is of format {table.get('format')}, but this version of Bise reads {_FORMAT}.")
    return from_table(table, Results, str(path))


def write_items(directory: Path, task: str, items: Iterable[Item]) -> None:
    """Write a task's log, one line of JSON for each item."""
    path = _items_path(directory, task)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps(_told(item), ensure_ascii=False, allow_nan=False) for item in items)
    write_atomically(path, "".join(f"{line}\n" for line in lines))


def read_items(directory: Path, task: str) -> list[Item]:
    """Read a task's log.

    Raises:
        NotFoundError: there is none.
        InputError: a line is damaged; it is named.
    """
    path = _items_path(directory, task)
    if not path.is_file():
        raise NotFoundError(f"There is no log of items at {path}. Run bise eval again in another directory.")
    with path.open(encoding="utf-8") as lines:
        return [_item(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def columns(items: Sequence[Item]) -> tuple[list[float], list[float]]:
    """Values and weights, as statistics take them."""
    return [item.value for item in items], [item.weight for item in items]


def _items_path(directory: Path, task: str) -> Path:
    return directory / ITEMS / f"{task}.jsonl"


def _item(line: str, where: str) -> Item:
    return from_table(_parsed(line, where), Item, where)


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}.") from None
    if not isinstance(table, dict):
        raise InputError(f"{where} holds no JSON object.")
    return table


def _told(item: Item) -> dict[str, object]:
    """Fields that say something, in their order."""
    return {name: value for name, value in asdict(item).items() if value not in ("", None)}


def _known(value: object) -> object:
    """Without what is not known: absent and None are the same to a reader."""
    if isinstance(value, Mapping):
        return {key: _known(entry) for key, entry in value.items() if entry is not None}
    return [_known(entry) for entry in value] if isinstance(value, list | tuple) else value
