"""From what people said in the chat to an adapter of their model, with a comparison for them to decide by.

A share of the corrections is held out, some of each answer. The rest is learned by an adapter of the model as it is in
the store: better answers and praised ones as they are, preferences as pairs. A better answer as a pair was tried: it made
held-out corrections no better, and hurt other answers, since what the model had said is often right elsewhere. Between
the corrections the model rehearses its own answers to everyday questions: of a small model that learned 38 corrections
without, 17 of 20 other questions were answered with one of these.

`comparison.json` in the run tells what changed: how like the wanted answers those to held-out questions became, how like
before everyday questions are answered, how likely the better answers became, and what it costs on general text. How the
settings below were found, and what they reach: `benchmarks/learn_from_feedback.py`.
"""

import dataclasses
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bise.config import home
from bise.corpus.recipe import SourceFile
from bise.errors import InputError
from bise.messages import Conversation, Message
from bise.runs import MANIFEST, read_manifest, write_atomically
from bise.store.feedback import MIN_LESSONS
from bise.train.recipe import LoopRecipe, OptimizerRecipe
from bise.train.report import Reporter
from bise.tune import everyday
from bise.tune.answers import answering
from bise.tune.finetune import tune
from bise.tune.lessons import Lesson, Lessons
from bise.tune.recipe import AdapterRecipe, ConversationSource, DpoRecipe, OutsideSources, TuneRecipe
from bise.weights.adapters import adapters_directory, install_adapter
from bise.weights.spec import read_spec
from bise.weights.store import find_model

COMPARISON = "comparison.json"
_OWNER = "owner.json"  # whose words the run copies: by it the server finds them when they are to be erased
_LEARNED, _HELD_OUT, _REHEARSED = "learned.jsonl", "held_out.jsonl", "rehearsed.jsonl"
_HELD_OUT_EVERY = 5  # one question in so many
_MEASURED = 40  # answers before and after, at most
_ANSWER_TOKENS = 48
# Of what is read in an epoch, where lessons need not be read more than _MOST_REPEATS times for it. At 0.6, 13 to 20 % of the
# answers to other questions repeated a correction, at 0.75 3 to 7 %; about as many new wordings were answered rightly.
_REHEARSED_SHARE = 0.75
_MOST_REPEATS = 4.0
_ROWS = 2  # small steps: there is little to learn from, and each step counts
_EPOCHS, _RANK, _BETA, _SFT_WEIGHT = 5.0, 16, 0.1, 1.0
# With an earlier demonstration model, of 24 new wordings 22, 20 and 7 were answered rightly at strengths of 1, 0.85 and 0.6; of 30 other answers 13, 11 and 5 changed.
_STRENGTH = 0.85
_RATE, _WIDTH_OF_RATE = 0.003, 256  # learning rate of the adapter at that width; it falls with the width


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What is to be learned, for somebody to approve."""

    owner: str  # id of the user whose feedback it is
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
            "contacts_kept": self.lessons.contacts.total() if self.lessons.keeps_contacts else 0,
        }


def propose(lessons: Lessons, owner: str, model: str, name: str | None) -> Proposal:
    """Choose what is held out, and a free name where none is given; one that was begun with the same lessons goes on.

    Raises:
        NotFoundError: there is no such model.
        InputError: there are too few lessons, or the name is taken.
    """
    find_model(model)
    if len(lessons.taught) < MIN_LESSONS:
        left_out = ", ".join(f"{count} {reason}" for reason, count in lessons.left_out.items())
        raise InputError(
            f"There are {len(lessons.taught)} lessons for {model} in the feedback, and at least {MIN_LESSONS} are needed. "
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
    return Proposal(owner, model, name, root, lessons, tuple(learned), tuple(held_out))


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
        owner = {"user": proposal.owner, "model": proposal.model}
        write_atomically(directory / _OWNER, json.dumps(owner) + "\n")
        write_atomically(directory / _LEARNED, _as_text(map(_as_learned, proposal.learned)))
        write_atomically(directory / _HELD_OUT, _as_text(proposal.held_out))
        if not (directory / _REHEARSED).exists():
            reporter.say("Asking the model everyday questions, to rehearse its own answers.")
            write_atomically(directory / _REHEARSED, _as_text(_rehearsal(proposal)))
        facts = tune(_recipe(proposal, directory), reporter).facts
    install_adapter(directory, proposal.model, proposal.name)
    told = {
        "seconds": facts["training_seconds"],
        "before": facts["held_out_before"],
        "after": facts["held_out"],
        "warnings": facts["warnings"],
    }
    comparison = proposal.facts() | told | _differences(proposal, directory / "adapter")
    write_atomically(directory / COMPARISON, json.dumps(comparison, indent=2, ensure_ascii=False) + "\n")
    return comparison


def _names() -> Iterator[str]:
    return (f"feedback-{number}" for number in itertools.count(1))


def _is_free(root: Path, model: str, name: str, learned: Sequence[Lesson]) -> bool:
    """Whether nothing has that name but perhaps a run with the same lessons that was stopped."""
    begun = root / "tune" / name / _LEARNED
    if (adapters_directory(model) / name).exists() or (begun.parent.exists() and not begun.exists()):
        return False
    return not begun.exists() or begun.read_text(encoding="utf-8") == _as_text(map(_as_learned, learned))


def _split(lessons: list[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """Learned and held out: of the questions by answer every so manieth, so that a little of each answer is held out.

    What is asked the same way stands on one side.
    """
    corrections = [lesson for lesson in lessons if lesson.rejected is not None] or lessons
    answers = {lesson.question: _hash(lesson.chosen) for lesson in corrections}
    questions = sorted(answers, key=lambda question: (answers[question], _hash(question)))
    if len(questions) == 1:
        raise InputError("All feedback is about one and the same question. Correct answers to other questions, too.")
    chosen = set(questions[min(_HELD_OUT_EVERY // 2, len(questions) - 1) :: _HELD_OUT_EVERY])
    held_out = [lesson for lesson in corrections if lesson.question in chosen]
    return [lesson for lesson in lessons if lesson.question not in chosen], held_out


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _as_learned(lesson: Lesson) -> Lesson:
    """A better answer is learned for itself, without pushing the model's own away, which may suit another question."""
    return dataclasses.replace(lesson, rejected=None) if lesson.origin == "better answer" else lesson


def _as_text(lessons: Iterable[Lesson]) -> str:
    return "".join(json.dumps(lesson.as_line(), ensure_ascii=False) + "\n" for lesson in lessons)


def _recipe(proposal: Proposal, directory: Path) -> TuneRecipe:
    spec = read_spec(find_model(proposal.model))
    sources = [
        ConversationSource(
            name,
            "the owner's own",
            (SourceFile(file),),
            learn="last",
            held_out_fraction=share,
            repeats=repeats,
            preparation=preparation,
        )
        for name, file, share, repeats, preparation in (
            ("feedback", _LEARNED, 0.0, _repeats(len(proposal.learned)), "From the chat"),
            ("held-out feedback", _HELD_OUT, 1.0, 1.0, "From the chat"),
            ("rehearsal", _REHEARSED, 0.0, 1.0, "The model's own answers"),
        )
    ]
    return TuneRecipe(
        name=proposal.name,
        base=Path(proposal.model),
        conversations=(),
        sources=OutsideSources(directory, tuple(sources)),
        root=proposal.root,
        epochs=_EPOCHS,
        adapter=AdapterRecipe(rank=_RANK, alpha=2.0 * _RANK, merge=False, strength=_STRENGTH),
        dpo=DpoRecipe(beta=_BETA, sft_weight=_SFT_WEIGHT),
        optimizer=OptimizerRecipe(
            embedding_learning_rate=min(_RATE, _RATE * _WIDTH_OF_RATE / spec.hidden_size), decay_fraction=0.9
        ),
        loop=LoopRecipe(
            batch_rows=_ROWS,
            microbatch_rows=_ROWS,
            eval_every=1_000_000,
            checkpoint_every=20,
            threads=max(1, (os.cpu_count() or 1) - 1),  # the server beside it keeps a core
        ),
    )


def _repeats(num_learned: int) -> float:
    """How often a lesson is read for each time that an everyday answer is: few lessons would drown among these."""
    num_rehearsed = len(everyday.questions()[0])
    return min(_MOST_REPEATS, max(1.0, num_rehearsed * (1 / _REHEARSED_SHARE - 1) / num_learned))


def _rehearsal(proposal: Proposal) -> list[Lesson]:
    """The model's own answers to everyday questions, of which it shall forget none."""
    corrected = [lesson.question for lesson in proposal.lessons.taught]
    asked = [_asked(prompt) for prompt in everyday.apart(everyday.questions()[0], corrected)]
    with answering(find_model(proposal.model)) as model:
        answers = model.answers(asked, _ANSWER_TOKENS)
    return [
        Lesson(question.messages, answer.text, None, "everyday question")
        for question, answer in zip(asked, answers, strict=True)
        if answer.is_whole and answer.text
    ]


def _asked(prompt: str) -> Conversation:
    return Conversation((Message("user", prompt),))


def _differences(proposal: Proposal, adapter: Path) -> dict[str, Any]:
    """What base and adapter answer to held-out questions and to others, and how like it is to what it should be."""
    lessons = proposal.held_out[:_MEASURED]
    corrected = [lesson.question for lesson in proposal.lessons.taught]
    watched = everyday.apart(everyday.questions()[1], corrected)
    questions = [Conversation(lesson.messages) for lesson in lessons] + [_asked(prompt) for prompt in watched]
    with answering(find_model(proposal.model)) as model:
        before = [answer.text for answer in model.answers(questions, _ANSWER_TOKENS)]
        after = [answer.text for answer in model.answers(questions, _ANSWER_TOKENS, adapter)]
    wanted = [lesson.chosen for lesson in lessons]
    return {
        "like_wanted": {"before": _likeness(wanted, before), "after": _likeness(wanted, after)},
        "others_like_before": _likeness(before[len(lessons) :], after[len(lessons) :]),
        "num_others": len(watched),
        "answers": [
            {"question": lesson.question, "wanted": lesson.chosen, "before": old, "after": new}
            for lesson, old, new in zip(lessons, before, after, strict=False)
        ],
    }


def _likeness(texts: Sequence[str], others: Sequence[str]) -> float | None:
    """The mean over pairs, as many as the shorter list has; none of none."""
    pairs = list(zip(texts, others, strict=False))
    return round(sum(everyday.likeness(*pair) for pair in pairs) / len(pairs), 3) if pairs else None
