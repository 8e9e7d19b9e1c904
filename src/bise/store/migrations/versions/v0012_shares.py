"""Read-only links to a conversation as it was."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID, SHA256, UtcTime

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Make the table, unless it is there."""
    op.create_table(
        "shares",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("token_sha256", SHA256, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
        sa.UniqueConstraint("token_sha256", name="uq_shares_token_sha256"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_shares_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["conversation_id"], ["conversations.id"], name="fk_shares_conversation_id", ondelete="CASCADE"
        ),
        if_not_exists=True,
    )
    op.create_index("ix_shares_user_id", "shares", ["user_id"], if_not_exists=True)
    op.create_index("ix_shares_conversation_id", "shares", ["conversation_id"], if_not_exists=True)
