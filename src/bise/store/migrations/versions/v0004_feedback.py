"""What people think of answers: thumbs, better answers, preferences."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID, UtcTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the tables, those that are not there."""
    _create(
        "ratings",
        _message("ratings", "message_id"),
        sa.Column("thumb", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(32)),
        sa.Column("comment", sa.Text),
        sa.UniqueConstraint("message_id", name="uq_ratings_message_id"),
    )
    _create(
        "better_answers",
        _message("better_answers", "message_id"),
        sa.Column("content", sa.Text, nullable=False),
        sa.UniqueConstraint("message_id", name="uq_better_answers_message_id"),
    )
    _create(
        "preferences",
        _message("preferences", "first_id"),
        _message("preferences", "second_id"),
        sa.Column("verdict", sa.String(8), nullable=False),
        sa.UniqueConstraint("first_id", "second_id", name="uq_preferences_first_id"),
    )
    op.create_index("ix_preferences_second_id", "preferences", ["second_id"], if_not_exists=True)


def _create(table: str, *own: "sa.Column[object] | sa.UniqueConstraint") -> None:
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("excluded", sa.Boolean, nullable=False),
        *own,
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=f"fk_{table}_user_id", ondelete="CASCADE"),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_user_id", table, ["user_id"], if_not_exists=True)


def _message(table: str, name: str) -> "sa.Column[object]":
    key = sa.ForeignKey("messages.id", name=f"fk_{table}_{name}", ondelete="CASCADE")
    return sa.Column(name, ID, key, nullable=False)
