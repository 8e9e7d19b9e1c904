"""What a suite is made of, and what a user may set.

A task measures one score: it asks the model about its items and says how each went. Everything else that a result says
follows from its items (`run.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from bise.evals.api import Api, Progress
from bise.evals.results import Item


@dataclass(frozen=True)
class DataSettings:
    """Where questions and texts are."""

    root: Path | None = None  # holds a directory for each set of questions
    texts: Path | None = None  # JSON lines with "text": a file, or a directory of files named by language, fr.jsonl


@dataclass(frozen=True)
class Prices:
    """What a remote API asks for, as the user states it."""

    prompt: float = 0.0  # for a million tokens
    completion: float = 0.0  # for a million tokens
    currency: str = "EUR"


@dataclass(frozen=True)
class EvalSettings:
    """What `--set` may change."""

    data: DataSettings = field(default_factory=DataSettings)
    price: Prices = field(default_factory=Prices)
    limit: int | None = None  # items of a task at most, drawn by chance; None: all
    shots: int | None = None  # examples before a question; None: as the task has it
    max_tokens: int | None = None  # of an answer; None: as the task has it
    chat: bool | None = None  # whether word problems are asked as chats; None: of remote APIs, which may have no more
    seed: int = 1234  # of what is drawn: items and examples
    beside: tuple[Path, ...] = ()  # finished evaluations of other models, for the report
    root: Path = Path("runs")
    name: str = ""  # of the run; empty: of the model and the suites

    def __post_init__(self) -> None:
        """Check what would measure nothing."""
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}, but must be at least 1")
        if self.shots is not None and self.shots < 0:
            raise ValueError(f"shots is {self.shots}, but must be at least 0")
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}, but must be at least 1")


@dataclass(frozen=True)
class Task:
    """One score to be measured."""

    suite: str
    name: str
    metric: str
    files: tuple[Path, ...]
    measure: Callable[[Api, EvalSettings, Progress], list[Item]]
    scoring: Literal["likelihood", "generation"]
    language: str = ""
    harness: str = "bise"
    version: str = "1"
    num_shots: int = 0
    template: Literal["none", "chat"] = "none"
    max_tokens: int | None = None  # of an answer
    higher_is_better: bool = True
    is_binary: bool = True
    note: str = ""


@dataclass(frozen=True)
class Suite:
    """Tasks under one name."""

    name: str
    about: str  # one line for people
    tasks: Callable[[EvalSettings], Sequence[Task]]
    modules: tuple[str, ...] = ()  # of the extra [evals], that it needs
