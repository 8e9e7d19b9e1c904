"""What people said in the chat about answers, as lessons to tune on.

A better answer and a preference teach which of two answers is right; a thumb up teaches the answer itself; a thumb down
alone teaches nothing, because it does not say what would have been right. What was said last counts where two sayings
contradict each other. Personal data is masked in everything, but for phone numbers and e-mail addresses where whoever
gave the lessons says that these are public.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bise.corpus.personal import CONTACTS, KINDS, PersonalData
from bise.messages import Message
from bise.store.feedback import FeedbackItem, Useless, improved_messages, why_useless

_REASONS: dict[Useless, str] = {
    "other_model": "about another model",
    "better_counts": "the better answer counts instead",
    "no_better": "thumb down without a better answer",
    "equal": "both answers equally good",
    "no_question": "no question before the answer",
}
Origin = Literal["better answer", "preference", "thumb up", "everyday question"]


@dataclass(frozen=True)
class Lesson:
    """An answer that is right after these messages, and one that is worse where somebody named it."""

    messages: tuple[Message, ...]
    chosen: str
    rejected: str | None
    origin: Origin

    @property
    def question(self) -> str:
        """What was asked last."""
        return self.messages[-1].content

    def as_line(self) -> dict[str, Any]:
        """The lesson as a line of `bise.tune.conversations`."""
        messages = [{"role": message.role, "content": message.content} for message in self.messages]
        if self.rejected is None:
            return {"messages": [*messages, {"role": "assistant", "content": self.chosen}]}
        return {"messages": messages, "chosen": self.chosen, "rejected": self.rejected}


@dataclass
class Lessons:
    """The lessons, newest first, and what was not made one, all counted."""

    taught: list[Lesson] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)  # reason -> items
    masked: Counter[str] = field(default_factory=Counter)  # kind of personal data -> pieces
    contacts: Counter[str] = field(default_factory=Counter)  # phone numbers and e-mail addresses, masked or kept
    keeps_contacts: bool = False

    def num_of(self, origin: Origin) -> int:
        """How many came from that kind of feedback."""
        return sum(lesson.origin == origin for lesson in self.taught)


def collect(items: Iterable[FeedbackItem], model: str, keep_contacts: bool = False) -> Lessons:
    """Lessons from what was said about answers of a model and of its adapters.

    Args:
        items: the feedback.
        model: the name of the base model.
        keep_contacts: leave phone numbers and e-mail addresses as they are: whoever gave the feedback says they are public.
    """
    kinds = tuple(kind for kind in KINDS if kind not in CONTACTS) if keep_contacts else KINDS
    lessons, personal = Lessons(keeps_contacts=keep_contacts), PersonalData(kinds)
    improved = improved_messages(items)
    right: set[tuple[tuple[Message, ...], str]] = set()
    wrong: set[tuple[tuple[Message, ...], str]] = set()
    for item in sorted(items, key=lambda item: item.created_at, reverse=True):
        if item.excluded:
            lessons.left_out["excluded by you"] += 1
            continue
        if useless := why_useless(item, model, improved):
            lessons.left_out[_REASONS[useless]] += 1
            continue
        lesson = _masked(_lesson(item), personal, lessons)
        chosen, rejected = (lesson.messages, lesson.chosen), (lesson.messages, lesson.rejected or "")
        if chosen in wrong or rejected in right:
            lessons.left_out["contradicted later"] += 1
        elif chosen in right and (lesson.rejected is None or rejected in wrong):
            lessons.left_out["said before"] += 1
        else:
            lessons.taught.append(lesson)
        right.add(chosen)
        if lesson.rejected is not None:
            wrong.add(rejected)
    return lessons


def _lesson(item: FeedbackItem) -> Lesson:
    turns = _joined(item.conversation.messages)
    if item.kind == "better_answer":
        assert item.better is not None
        return Lesson(turns, item.better, item.answer, "better answer")
    if item.kind == "preference":
        assert item.chosen is not None
        return Lesson(turns, item.chosen, item.rejected, "preference")
    return Lesson(turns, item.answer, None, "thumb up")


def _joined(turns: Sequence[Message]) -> tuple[Message, ...]:
    """Neighbours of one role as one message, as the chat template joins them: a question may have had no answer."""
    joined: list[Message] = []
    for turn in turns:
        if joined and joined[-1].role == turn.role:
            joined[-1] = Message(turn.role, f"{joined[-1].content}\n\n{turn.content}")
        else:
            joined.append(turn)
    return tuple(joined)


def _masked(lesson: Lesson, personal: PersonalData, lessons: Lessons) -> Lesson:
    def mask(text: str) -> str:
        lessons.contacts.update(text[span.start : span.stop] for span in PersonalData(CONTACTS).find(text))
        masked, found = personal.mask(text)
        lessons.masked.update(found)
        return masked

    messages = tuple(Message(turn.role, mask(turn.content)) for turn in lesson.messages)
    rejected = None if lesson.rejected is None else mask(lesson.rejected)
    return Lesson(messages, mask(lesson.chosen), rejected, lesson.origin)
