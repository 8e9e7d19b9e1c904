"""What the page is told about feedback, and about learning from it."""

from datetime import datetime
from typing import Literal

from bise.app.replies.base import Reply
from bise.app.replies.chat import Parameters


class Said(Reply):
    """A turn of the conversation before an answer."""

    role: str
    content: str


class FeedbackItem(Reply):
    """What somebody said of an answer, as it would be learned from; what does not apply to its kind is missing."""

    id: str
    kind: Literal["rating", "better_answer", "preference"]
    created_at: datetime
    conversation_id: str
    excluded: bool
    teaches_nothing: Literal["other_model", "better_counts", "no_better", "equal", "no_question"] | None
    """Why no right answer follows from it; null when one does."""
    model: str | None
    parameters: Parameters
    conversation: list[Said]
    num_masked: int
    """Pieces of personal data that were masked in what is shown."""
    contacts: list[str]
    """Phone numbers and e-mail addresses among what is masked."""
    answer: str = ""
    thumb: Literal["up", "down"] = "up"
    reason: str = ""
    comment: str = ""
    better: str = ""
    verdict: Literal["first", "second", "equal"] = "equal"
    chosen: str = ""
    rejected: str = ""
    first: str = ""
    second: str = ""


class Feedback(Reply):
    """The newest first."""

    items: list[FeedbackItem]


class Change(Reply):
    """The same figure before and after."""

    before: float
    after: float


class Compared(Reply):
    """A held-out question with its answers."""

    question: str
    wanted: str
    before: str
    after: str


class Result(Reply):
    """What learning changed."""

    learned: int
    held_out: int
    seconds: float
    like_wanted: Change
    """Words in common with the wanted answers to held-out questions, 0 to 1."""
    others_like_before: float | None
    """Words in common of the answers to everyday questions, before and after, 0 to 1; null when none was asked."""
    num_others: int
    corrections: Change | None
    general: Change | None
    answers: list[Compared]
    warnings: list[str]


class Progress(Reply):
    """How far a running attempt is."""

    step: int
    num_steps: int | None
    seconds_left: float | None


class Attempt(Reply):
    """The latest attempt; what does not apply to its status is missing."""

    model: str
    adapter: str
    started_at: str
    status: Literal["running", "finished", "failed", "interrupted", "cancelled"]
    decided: bool
    progress: Progress | None = None
    result: Result | None = None
    error: str | None = None


class LearningState(Reply):
    """What would learn, what is missing for it, and how the latest attempt stands."""

    model: str
    default_model: str
    min_lessons: int
    missing: list[str]
    attempt: Attempt | None
