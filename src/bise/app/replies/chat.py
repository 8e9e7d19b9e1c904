"""What the page is told about conversations, and at its start."""

from datetime import datetime
from typing import Literal

from bise.app.replies.base import ErrorFacts, Reply, Role


class Stats(Reply):
    """How fast an answer came."""

    first_token_s: float | None
    tokens: int | None
    tokens_per_s: float | None
    dropped_turns: int
    """Earlier questions, with their answers, that the model's context had no room for."""
    thinking_s: float | None = None
    """How long the model thought, or has thought so far; null when it did not."""
    queue_place: int = 0
    """The number in the line of those that wait for the engine; 0 when the answer has a place."""


class Rating(Reply):
    """What the reader thinks of an answer."""

    thumb: Literal["up", "down"]
    reason: str | None
    comment: str | None


class Preference(Reply):
    """Which of two answers to one question is better; the first is the older one."""

    first_id: str
    second_id: str
    verdict: Literal["first", "second", "equal"]


class Parameters(Reply):
    """A parameter that is missing is as by default."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


class Message(Reply):
    """A question or an answer."""

    id: str
    role: Literal["user", "assistant"]
    content: str
    thinking: str | None
    """What the model thought before it answered."""
    status: Literal["generating", "complete", "stopped", "failed", "interrupted"]
    model: str | None
    created_at: datetime
    finish_reason: str | None
    stats: Stats | None
    error: str | None
    """Why the answer failed, when it did."""
    error_facts: ErrorFacts | None
    """Of an error that has a code."""
    parent_id: str | None
    branches: list[str]
    """All messages that stand in this place, this one too, oldest first."""
    shown: bool
    better: str | None
    """What the reader made of an answer."""
    rating: Rating | None
    preferences: list[Preference]
    system_prompt: str | None
    """Of an answer: what it was asked with."""
    parameters: Parameters | None


class Turn(Reply):
    """A question with the answer that has begun."""

    user_message: Message
    assistant_message: Message


class Settings(Reply):
    """How a conversation's next answers are asked for."""

    system_prompt: str | None
    parameters: Parameters
    keeps_probabilities: bool


class ConversationSummary(Reply):
    """A conversation in the list."""

    id: str
    title: str
    updated_at: datetime
    generating: bool
    model: str | None
    """Who answers here; null: the default."""
    folder_id: str | None
    """The project that it lies in."""
    pinned: bool
    settings: Settings


class ConversationDetail(ConversationSummary):
    """A conversation with the messages that are shown."""

    last_event: int
    """Number of the last event that `messages` already contain."""
    messages: list[Message]


class Conversations(Reply):
    """The latest first."""

    conversations: list[ConversationSummary]


class Token(Reply):
    """A token as the model wrote it, and where in the answer, in UTF-16 code units."""

    start: int
    end: int
    text: str
    logprob: float
    top: list[tuple[str, float]]
    """The likeliest in its place, the most likely first."""


class Probabilities(Reply):
    """How likely the tokens of an answer were."""

    tokens: list[Token]


class Model(Reply):
    """A model on offer."""

    id: str
    host: str | None
    """The other server that messages go to; null: nothing leaves this one."""
    demonstration: bool
    tells_probabilities: bool
    """Whether it tells how likely its tokens were."""
    context_length: int
    card_markdown: str


class User(Reply):
    """Who is in."""

    name: str
    role: Role


class AppState(Reply):
    """What the page needs to know at its start."""

    user: User
    accounts: bool
    """Whether people have accounts here; without them this machine's owner is the one user."""
    version: str
    share_links: bool
    """Whether links to conversations may be made here."""
    default_model: str
    default_parameters: Parameters
    models: list[Model]


class Folder(Reply):
    """A project."""

    id: str
    name: str
    instructions: str


class Folders(Reply):
    """All projects."""

    folders: list[Folder]


class Excerpt(Reply):
    """A piece of a text; `found` marks the words looked for."""

    text: str
    found: bool


class Hit(Reply):
    """A message in which all words were found, or, without one, the title of a conversation."""

    conversation_id: str
    title: str
    message_id: str | None
    role: Literal["user", "assistant"] | None
    at: datetime
    excerpt: list[Excerpt]


class Hits(Reply):
    """The newest first."""

    hits: list[Hit]
