"""From what people said in the chat to an adapter of their model, with a comparison for them to decide by.

A share of the corrections is held out. The rest is learned as preferences with the better answers beside them, by an
adapter of the model as it is in the store. Between them the model rehearses its own answers to everyday questions: of a
small model that learned 38 corrections without, 17 of 20 other questions were answered with one of these.
`comparison.json` in the run tells what changed: how likely the held-out better answers became, what the model answers now,
and what it costs on general text.
"""

import dataclasses
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bise.config import home
from bise.corpus.recipe import SourceFile
from bise.errors import InputError
from bise.messages import Conversation, Message
from bise.runs import MANIFEST, read_manifest, write_atomically
from bise.train.recipe import LoopRecipe, OptimizerRecipe
from bise.train.report import Reporter
from bise.tune.answers import answering
from bise.tune.finetune import tune
from bise.tune.lessons import Lesson, Lessons
from bise.tune.recipe import AdapterRecipe, ConversationSource, DpoRecipe, OutsideSources, TuneRecipe
from bise.weights.adapters import adapters_directory, install_adapter
from bise.weights.spec import read_spec
from bise.weights.store import find_model

COMPARISON = "comparison.json"
_LEARNED, _HELD_OUT, _REHEARSED = "learned.jsonl", "held_out.jsonl", "rehearsed.jsonl"
_LEAST = 5  # lessons: fewer leave nothing to hold out that would tell something
_HELD_OUT_SHARE = 0.2
_SHOWN = 8  # answers before and after
_ANSWER_TOKENS = 48
_EPOCHS, _RANK, _BETA, _SFT_WEIGHT = 12.0, 16, 0.1, 1.0
_RATE, _WIDTH_OF_RATE = 0.003, 256  # learning rate of the adapter at that width; it falls with the width


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What is to be learned, for somebody to approve."""

    model: str
    name: str  # of the run and the adapter
    root: Path
    lessons: Lessons
    learned: tuple[Lesson, ...]
    held_out: tuple[Lesson, ...]

    def facts(self) -> dict[str, Any]:
        """Counts for people and programs."""
        taught = self.lessons.taught
        return {
            "model": self.model,
            "adapter": f"{self.model}:{self.name}",
            "lessons": dict(Counter(lesson.origin for lesson in taught).most_common()),
            "learned": len(self.learned),
            "held_out": len(self.held_out),
            "left_out": dict(self.lessons.left_out),
            "personal_data_masked": dict(self.lessons.masked),
        }


def propose(lessons: Lessons, model: str, name: str | None) -> Proposal:
    """Choose what is held out, and a free name where none is given; one that was begun with the same lessons goes on.

    Raises:
        NotFoundError: there is no such model.
        InputError: there are too few lessons, or the name is taken.
    """
    find_model(model)
    if len(lessons.taught) < _LEAST:
        left_out = ", ".join(f"{count} {reason}" for reason, count in lessons.left_out.items())
        raise InputError(
            f"There are {len(lessons.taught)} lessons for {model} in the feedback, and at least {_LEAST} are needed. "
            f"Write better answers to some more of its answers in the chat.{f' Left out: {left_out}.' if left_out else ''}"
        )
    learned, held_out = _split(lessons.taught)
    root = home() / "runs"
    if name is None:
        name = next(name for name in _names() if _is_free(root, model, name, learned))
    elif not _is_free(root, model, name, learned):
        raise InputError(
            f"The name {name} is taken by an adapter of {model}, or by a run in {root} that learned from other feedback. "
            "Choose another with --name."
        )
    return Proposal(model, name, root, lessons, tuple(learned), tuple(held_out))


def learn(proposal: Proposal, reporter: Reporter) -> dict[str, Any]:
    """Tune the adapter, offer it beside the model, and compare it with its base: what `comparison.json` then holds.

    Raises:
        InputError: the run was begun with other settings, or training diverged.
        KeyboardInterrupt: stopped; the same proposal goes on.
    """
    directory = proposal.root / "tune" / proposal.name
    if (directory / MANIFEST).exists():  # ended between the run's end and the adapter's beginning
        facts = read_manifest(directory).facts
    else:
        directory.mkdir(parents=True, exist_ok=True)
        write_atomically(directory / _LEARNED, _as_text(proposal.learned))
        write_atomically(directory / _HELD_OUT, _as_text(proposal.held_out))
        if not (directory / _REHEARSED).exists():
            reporter.say("Asking the model everyday questions, to rehearse its own answers.")
            write_atomically(directory / _REHEARSED, _as_text(_rehearsal(proposal)))
        facts = tune(_recipe(proposal, directory), reporter).facts
    install_adapter(directory, proposal.model, proposal.name)
    comparison = proposal.facts() | {
        "seconds": facts["training_seconds"],
        "before": facts["held_out_before"],
        "after": facts["held_out"],
        "warnings": facts["warnings"],
        "answers": _answers(proposal, directory / "adapter"),
    }
    write_atomically(directory / COMPARISON, json.dumps(comparison, indent=2, ensure_ascii=False) + "\n")
    return comparison


def _names() -> Iterator[str]:
    return (f"feedback-{number}" for number in itertools.count(1))


def _is_free(root: Path, model: str, name: str, learned: Sequence[Lesson]) -> bool:
    """Whether nothing has that name but perhaps a run with the same lessons that was stopped."""
    begun = root / "tune" / name / _LEARNED
    if (adapters_directory(model) / name).exists() or (begun.parent.exists() and not begun.exists()):
        return False
    return not begun.exists() or begun.read_text(encoding="utf-8") == _as_text(learned)


def _split(lessons: list[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """Learned and held out, by the hash of the question, so that what is asked the same way stands on one side."""
    corrections = [lesson for lesson in lessons if lesson.rejected is not None] or lessons
    questions = sorted({lesson.question for lesson in corrections}, key=_hash)
    chosen = set(questions[: max(1, round(_HELD_OUT_SHARE * len(questions)))]) if len(questions) > 1 else set()
    held_out = [lesson for lesson in corrections if lesson.question in chosen]
    if not held_out:
        raise InputError("All feedback is about one and the same question. Correct answers to other questions, too.")
    return [lesson for lesson in lessons if lesson.question not in chosen], held_out


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_text(lessons: Iterable[Lesson]) -> str:
    return "".join(json.dumps(lesson.as_line(), ensure_ascii=False) + "\n" for lesson in lessons)


def _recipe(proposal: Proposal, directory: Path) -> TuneRecipe:
    spec = read_spec(find_model(proposal.model))
    sources = [
        ConversationSource(
            name, "the owner's own", (SourceFile(file),), learn="last", held_out_fraction=share, preparation=preparation
        )
        for name, file, share, preparation in (
            ("feedback", _LEARNED, 0.0, "From the chat"),
            ("held-out feedback", _HELD_OUT, 1.0, "From the chat"),
            ("rehearsal", _REHEARSED, 0.0, "The model's own answers"),
        )
    ]
    return TuneRecipe(
        name=proposal.name,
        base=Path(proposal.model),
        conversations=(),
        sources=OutsideSources(directory, tuple(sources)),
        root=proposal.root,
        epochs=_EPOCHS,
        adapter=AdapterRecipe(rank=_RANK, alpha=2.0 * _RANK, merge=False),
        dpo=DpoRecipe(beta=_BETA, sft_weight=_SFT_WEIGHT),
        optimizer=OptimizerRecipe(
            embedding_learning_rate=min(_RATE, _RATE * _WIDTH_OF_RATE / spec.hidden_size), decay_fraction=0.9
        ),
        loop=LoopRecipe(
            batch_rows=4,
            microbatch_rows=4,
            eval_every=1_000_000,
            checkpoint_every=20,
            threads=max(1, (os.cpu_count() or 1) - 1),  # the server beside it keeps a core
        ),
    )


def _rehearsal(proposal: Proposal) -> list[Lesson]:
    """The model's own answers to everyday questions, of which it shall forget none."""
    text = (files("bise.tune") / "texts" / "everyday.jsonl").read_text(encoding="utf-8")
    asked = [(Message("user", json.loads(line)["prompt"]),) for line in text.splitlines()]
    with answering(find_model(proposal.model)) as model:
        answers = model.answers([Conversation(question) for question in asked], _ANSWER_TOKENS)
    told = zip(asked, answers, strict=True)
    return [
        Lesson(question, answer.text, None, "everyday question")
        for question, answer in told
        if answer.is_whole and answer.text
    ]


def _answers(proposal: Proposal, adapter: Path) -> list[dict[str, str]]:
    """The answers of base and adapter to some held-out questions, beside what was wanted."""
    lessons = proposal.held_out[:_SHOWN]
    questions = [Conversation(lesson.messages) for lesson in lessons]
    with answering(find_model(proposal.model)) as model:
        before = model.answers(questions, _ANSWER_TOKENS)
        after = model.answers(questions, _ANSWER_TOKENS, adapter)
    return [
        {"question": lesson.question, "wanted": lesson.chosen, "before": old.text, "after": new.text}
        for lesson, old, new in zip(lessons, before, after, strict=True)
    ]
