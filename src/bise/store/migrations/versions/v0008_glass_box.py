"""What an answer thought and how likely its tokens were, and how a conversation asks: its own parameters."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add what is not there; old answers thought nothing, and old conversations ask as before."""
    _add("messages", sa.Column("thinking", sa.Text))
    _add("conversations", sa.Column("parameters", sa.JSON(none_as_null=True)))
    _add("conversations", sa.Column("keeps_probabilities", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "answer_tokens",
        sa.Column("message_id", ID, nullable=False),
        sa.Column("tokens", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("message_id", name="pk_answer_tokens"),
        sa.ForeignKeyConstraint(
            ["message_id"], ["messages.id"], name="fk_answer_tokens_message_id", ondelete="CASCADE"
        ),
        if_not_exists=True,
    )


def _add(table: str, column: "sa.Column[object]") -> None:
    if column.name not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
