"""The tables of the database, in types that SQLite and PostgreSQL share.

    users ──┬── sessions        a browser that is signed in
            ├── sign_in_links   an address that lets one browser in, once
            ├── identities      an account of another provider (OpenID Connect)
            ├── api_keys        a program that calls /v1, for a project or not
            ├── project_members ── projects
            ├── folders         for conversations; the chat calls them projects
            └── conversations ── messages ──┬── ratings       a thumb, with a reason
                                            ├── better_answers
                                            ├── answer_tokens   how likely each token was
                                            └── preferences   between two answers to one question

The messages of a conversation form a tree: a question asked anew and an answer made anew stand beside the first. Of
the messages with one parent, exactly one is shown; the shown ones, from the root on, are what is read.

    limits, usage, audit        of users, projects and keys; usage and audit outlive those that they are about
    invitations                 for people who have no account yet

Ids are random hex, never counted: they tell nothing and cannot be guessed. Secrets are kept as hashes only.
"""

import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa


class UtcTime(sa.types.TypeDecorator[datetime]):
    """A moment in UTC that stays in UTC: SQLite alone would forget the zone."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse moments without a zone, and turn the others to UTC."""
        del dialect
        if value is None:
            return None
        assert value.tzinfo is not None, "moments carry their zone"
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give the zone back."""
        del dialect
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class PlainText(sa.types.TypeDecorator[str]):
    """Text of any length; U+FFFD stands for NUL, which a model may write and PostgreSQL cannot hold."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Put the sign for what cannot be shown where NUL was."""
        del dialect
        return value if value is None else value.replace("\0", "\ufffd")


def new_id() -> str:
    """Make a random id: 128 bits as 32 hexadecimal digits."""
    return secrets.token_hex(16)


def now() -> datetime:
    """Tell the time as the database keeps it."""
    return datetime.now(UTC)


ID = sa.String(32)
SHA256 = sa.String(64)

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("default_model", sa.String(200)),  # for new conversations; without one, the server's default
    sa.Column("role", sa.String(16), nullable=False, server_default="user"),  # or "admin"
    sa.Column("disabled_at", UtcTime),  # neither browser nor program of theirs comes in
    sa.Column("password_hash", sa.String(200)),  # argon2id, with its salt and costs; None: no password opens it
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_sha256", SHA256, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Column("id", ID, nullable=False, server_default=""),  # what it is called where it is listed; stays when renewed
    sa.Column("agent", sa.String(200), nullable=False, server_default=""),  # how the browser calls itself
    sa.Column("seen_at", UtcTime),
    sa.Column("renewed_at", UtcTime),
    # The secret before the last renewal: requests that were on their way may still come with it, for a minute.
    sa.Column("previous_sha256", SHA256, index=True),
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("issuer", sa.String(300), primary_key=True),
    sa.Column("subject", sa.String(300), primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("created_at", UtcTime, nullable=False),
)

invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("token_sha256", SHA256, nullable=False, unique=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Column("uses_left", sa.Integer, nullable=False),
)

sign_in_links = sa.Table(
    "sign_in_links",
    metadata,
    sa.Column("token_sha256", SHA256, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("expires_at", UtcTime, nullable=False),
)

projects = sa.Table(
    "projects",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", sa.String(100), nullable=False, unique=True),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("archived_at", UtcTime),  # its keys open nothing any more
)

project_members = sa.Table(
    "project_members",
    metadata,
    sa.Column("project_id", ID, sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("prefix", sa.String(20), nullable=False, unique=True),
    sa.Column("secret_sha256", SHA256, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("revoked_at", UtcTime),
    sa.Column("project_id", ID, sa.ForeignKey("projects.id"), index=True),  # projects are archived, never deleted
    sa.Column("scopes", sa.JSON, nullable=False, server_default='["inference", "embeddings"]'),
    sa.Column("models", sa.JSON(none_as_null=True)),  # those that it may ask; without a list, all
    sa.Column("expires_at", UtcTime),
)

folders = sa.Table(
    "folders",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("name", sa.String(100), nullable=False),
    sa.Column("instructions", PlainText, nullable=False),  # sent before what is said in its conversations
    sa.Column("created_at", UtcTime, nullable=False),
)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    # The number of the last event that any browser can have seen; while an answer is made, an upper bound of it.
    sa.Column("last_event", sa.BigInteger, nullable=False),
    sa.Column("model", sa.String(200)),  # that of its next answers; without one, the owner's default
    # How its next answers are asked for.
    sa.Column("system_prompt", PlainText),
    sa.Column("parameters", sa.JSON(none_as_null=True)),
    sa.Column("keeps_probabilities", sa.Boolean, nullable=False, server_default=sa.false()),
    # Of what it was called where it was brought from: the same is not brought twice.
    sa.Column("source_sha256", SHA256),
    sa.Column("folder_id", ID, sa.ForeignKey("folders.id"), index=True),
    sa.Column("pinned_at", UtcTime),
    sa.Column("deleted_at", UtcTime, index=True),  # its owner deleted it, and can have it back for a while
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("conversation_id", ID, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("content", PlainText, nullable=False),
    sa.Column("thinking", PlainText),  # what the model thought before it answered; never sent back to it
    sa.Column("status", sa.String(16), nullable=False, index=True),
    sa.Column("model", sa.String(200)),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("finish_reason", sa.String(32)),
    sa.Column("error", PlainText),
    sa.Column("error_facts", sa.JSON(none_as_null=True)),  # its code and values, to be said in other languages
    sa.Column("stats", sa.JSON(none_as_null=True)),
    # What the browser called its message: the same name twice is the same message.
    sa.Column("client_id", sa.String(100)),
    # Without an action of its own: a chain of cascades as long as a conversation is too deep for SQLite.
    sa.Column("parent_id", ID, sa.ForeignKey("messages.id"), index=True),
    sa.Column("shown", sa.Boolean, nullable=False, server_default=sa.true()),
    # What an answer was asked with.
    sa.Column("system_prompt", PlainText),
    sa.Column("parameters", sa.JSON(none_as_null=True)),
    sa.UniqueConstraint("conversation_id", "position"),
    sa.UniqueConstraint("conversation_id", "client_id", name="uq_messages_client_id"),
)


def _feedback_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", ID, primary_key=True),
        sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("excluded", sa.Boolean, nullable=False),  # the owner does not want it to be learned from
    )


ratings = sa.Table(
    "ratings",
    metadata,
    *_feedback_columns(),
    sa.Column("message_id", ID, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("thumb", sa.String(8), nullable=False),
    sa.Column("reason", sa.String(32)),
    sa.Column("comment", PlainText),
)

better_answers = sa.Table(
    "better_answers",
    metadata,
    *_feedback_columns(),
    sa.Column("message_id", ID, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, unique=True),
    sa.Column("content", PlainText, nullable=False),
)

# Apart from the messages, which are read whole and often: this is large, and looked at seldom (`probabilities.py`).
answer_tokens = sa.Table(
    "answer_tokens",
    metadata,
    sa.Column("message_id", ID, sa.ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("tokens", sa.LargeBinary, nullable=False),
)

preferences = sa.Table(
    "preferences",
    metadata,
    *_feedback_columns(),
    # The one that was made first stands first.
    sa.Column("first_id", ID, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False),
    sa.Column("second_id", ID, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("verdict", sa.String(8), nullable=False),
    sa.UniqueConstraint("first_id", "second_id"),
)

# Read-only links to a conversation as it was.
shares = sa.Table(
    "shares",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("conversation_id", ID, sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("token_sha256", SHA256, nullable=False, unique=True),
    sa.Column("title", sa.String(200), nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("messages", PlainText, nullable=False),  # a JSON list of what is shown
)

# What a user, a project or a key may use; the row "everybody" is for users without one of their own.
limits = sa.Table(
    "limits",
    metadata,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("subject_id", ID, primary_key=True),
    sa.Column("requests_per_s", sa.Float),
    sa.Column("tokens_per_min", sa.BigInteger),
    sa.Column("tokens_per_month", sa.BigInteger),
    sa.Column("tokens_total", sa.BigInteger),
    sa.Column("parallel", sa.Integer),
)

# One row for each day (UTC) and combination; an empty project or key: none, the chat.
usage = sa.Table(
    "usage",
    metadata,
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("user_id", ID, primary_key=True),
    sa.Column("project_id", ID, primary_key=True),
    sa.Column("key_id", ID, primary_key=True),
    sa.Column("model", sa.String(200), primary_key=True),
    sa.Column("num_requests", sa.BigInteger, nullable=False),
    sa.Column("num_prompt_tokens", sa.BigInteger, nullable=False),
    sa.Column("num_completion_tokens", sa.BigInteger, nullable=False),
)

# The database itself refuses to change or delete its rows.
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("at", UtcTime, nullable=False, index=True),
    sa.Column("actor", sa.String(150), nullable=False),
    sa.Column("action", sa.String(50), nullable=False),
    sa.Column("subject", sa.String(250), nullable=False),
    sa.Column("details", sa.JSON, nullable=False),
)
