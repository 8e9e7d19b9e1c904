"""Deleting a conversation hides it for a while before it is gone."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import UtcTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column, unless it is there."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("conversations")}
    if "deleted_at" not in columns:
        op.add_column("conversations", sa.Column("deleted_at", UtcTime))
    op.create_index("ix_conversations_deleted_at", "conversations", ["deleted_at"], if_not_exists=True)
