"""What the page is told about everything that is kept: links, deleted conversations, imports, figures, receipts."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from bise.app.replies.base import ErrorFacts, Reply


class Share(Reply):
    """A read-only link, without its secret."""

    id: str
    conversation_id: str
    title: str
    created_at: datetime


class NewShare(Share):
    """A link just made, with the secret that is not kept."""

    token: str


class Shares(Reply):
    """One's own links."""

    allowed: bool
    shares: list[Share]


class SharedMessage(Reply):
    """What a link shows of a message."""

    role: Literal["user", "assistant"]
    content: str
    model: str | None
    edited: bool


class SharedConversation(Reply):
    """What a link shows."""

    title: str
    created_at: datetime
    messages: list[SharedMessage]


class DeletedConversation(Reply):
    """A conversation that can still be had back."""

    id: str
    title: str
    deleted_at: datetime
    gone_at: datetime
    """When it will be erased."""
    num_messages: int


class DeletedState(Reply):
    """The one deleted last first."""

    kept_days: int
    conversations: list[DeletedConversation]


class NumErased(Reply):
    """How many conversations are gone for good."""

    num_erased: int


class ImportRefusal(Reply):
    """Why one conversation was not taken in."""

    title: str
    reason: str


class ImportState(Reply):
    """How an import stands."""

    status: Literal["running", "finished", "failed", "cancelled"]
    share: float
    """Of the file, 0 to 1."""
    num_imported: int
    num_known: int
    """Here already."""
    num_refused: int
    num_messages: int
    left_out: dict[str, int]
    """Pieces of conversations by kind."""
    refusals: list[ImportRefusal]
    error: str | None
    """Why it ended before the end of the file."""
    error_facts: ErrorFacts | None


class LatestImport(Reply):
    """The latest import, if there was one."""

    import_: Annotated[ImportState | None, Field(alias="import")]


class Holdings(Reply):
    """How much is kept of a user's."""

    conversations: int
    deleted_conversations: int
    messages: int
    text_bytes: int
    """Of messages, in UTF-8."""
    ratings: int
    better_answers: int
    preferences: int
    folders: int
    shares: int
    api_keys: int
    sessions: int
    identities: int
    """Accounts of other providers that open this one."""
    passwords: int
    """0 or 1."""


class Stored(Reply):
    """What is kept of a user's, where and how long."""

    holdings: Holdings
    kept_days: int
    database: str
    place: str | None
    """The address of the database; null for those who do not answer for the server."""
    num_copies: int
    """Copies of the database made before upgrades."""
    num_learning_runs: int
    """Runs that hold copies of what was learned from."""
    adapters: list[str]
    """That learned from the user's feedback."""


class Receipt(Reply):
    """What was erased."""

    receipt: str
    version: int
    user: str
    erased_at: datetime
    erased: dict[str, int]
    adapters: list[str]


class Erased(Reply):
    """A receipt with its hash."""

    receipt: Receipt
    sha256: str
    """Of the receipt as JSON with sorted keys and no spaces."""
    num_copies: int
