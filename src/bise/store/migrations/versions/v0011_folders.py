"""Conversations lie in folders, which have instructions, and can be pinned."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID, UtcTime

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Make the table and add the columns, those that are not there."""
    op.create_table(
        "folders",
        sa.Column("id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("instructions", sa.Text, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_folders"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_folders_user_id", ondelete="CASCADE"),
        if_not_exists=True,
    )
    op.create_index("ix_folders_user_id", "folders", ["user_id"], if_not_exists=True)
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("conversations")}
    if "pinned_at" not in columns:
        op.add_column("conversations", sa.Column("pinned_at", UtcTime))
    if "folder_id" not in columns:
        # Alembic would build the table anew for a foreign key in SQLite, and dropping the old one would take rows along.
        key = "CONSTRAINT fk_conversations_folder_id REFERENCES folders (id)"
        op.execute(f"ALTER TABLE conversations ADD COLUMN folder_id VARCHAR(32) {key}")
    op.create_index("ix_conversations_folder_id", "conversations", ["folder_id"], if_not_exists=True)
