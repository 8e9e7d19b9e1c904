"""What the page is told about accounts, at the door, and for admins."""

from datetime import datetime
from typing import Any, Literal

from bise.app.replies.base import Reply, Role, SignUp


class Provider(Reply):
    """Where people may sign in."""

    id: str
    name: str


class DoorState(Reply):
    """What the page must ask of somebody who is not in."""

    accounts: bool
    """Whether this server has accounts; without them, its terminal prints the address that lets its owner in."""
    first_run: bool
    """There is no admin yet."""
    sign_up: SignUp
    providers: list[Provider]


class Session(Reply):
    """A browser that is signed in."""

    id: str
    agent: str
    created_at: datetime
    seen_at: datetime | None
    is_current: bool


class LinkedProvider(Provider):
    """Whether it opens this account."""

    is_linked: bool


class Account(Reply):
    """Who somebody is and where they are signed in."""

    name: str
    role: Role
    has_password: bool
    sessions: list[Session]
    providers: list[LinkedProvider]


class Person(Reply):
    """An account."""

    id: str
    name: str
    role: Role
    disabled: bool
    seen_at: datetime | None
    num_tokens: int
    """This month, prompts and answers together."""
    num_requests: int


class Invitation(Reply):
    """An invitation, without its secret."""

    id: str
    role: Role
    expires_at: datetime
    uses_left: int


class People(Reply):
    """Everybody, and the invitations that are open."""

    people: list[Person]
    sign_up: SignUp
    invitations: list[Invitation]


class Secret(Reply):
    """A secret that is told once."""

    token: str


class Limits(Reply):
    """null: without a limit."""

    subject: str
    requests_per_s: float | None
    tokens_per_min: int | None
    tokens_per_month: int | None
    tokens_total: int | None
    parallel: int | None


class AllLimits(Reply):
    """The limits that were set."""

    limits: list[Limits]


class UsageRow(Reply):
    """What was used, by one of these."""

    day: str | None = None
    user: str | None = None
    model: str | None = None
    num_requests: int
    num_prompt_tokens: int
    num_completion_tokens: int


class Usage(Reply):
    """What was used in the last 31 days."""

    rows: list[UsageRow]


class AuditEntry(Reply):
    """What somebody did."""

    at: datetime
    actor: str
    action: str
    subject: str
    details: dict[str, Any]


class Audit(Reply):
    """The latest first."""

    entries: list[AuditEntry]


class StoredModel(Reply):
    """A model of the store; of a damaged one, its size and the problem alone."""

    name: str
    shipped: bool
    served: bool
    size_bytes: int
    problem: str | None = None
    parameters: int = 0
    bits: int | None = None
    """Of most weights; null for floats of an unknown size."""
    context_length: int = 0
    licence: str = ""
    text_licences: tuple[str, ...] = ()
    parents: tuple[str, ...] = ()
    in_place: str | None = None


class Pull(Reply):
    """A model that is being taken in."""

    name: str
    source: str
    status: Literal["running", "finished", "failed", "cancelled"]
    percent: int | None
    line: str


class Models(Reply):
    """The models of the store, and the latest pull."""

    models: list[StoredModel]
    pull: Pull | None
