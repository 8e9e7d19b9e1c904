"""Messages form a tree, and answers remember what they were asked with. Old conversations become trees of one branch."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

# Alembic would build the table anew for a foreign key in SQLite, and dropping the old one would take rows along.
_ADD_PARENT = (
    "ALTER TABLE messages ADD COLUMN parent_id VARCHAR(32) CONSTRAINT fk_messages_parent_id REFERENCES messages (id)"
)
_ONE_BRANCH = """
UPDATE messages SET parent_id = (
    SELECT earlier.id FROM messages AS earlier
    WHERE earlier.conversation_id = messages.conversation_id AND earlier.position = messages.position - 1
)
"""


def upgrade() -> None:
    """Add columns, those that are not there."""
    _add("users", sa.Column("default_model", sa.String(200)))
    _add("conversations", sa.Column("model", sa.String(200)))
    _add("conversations", sa.Column("system_prompt", sa.Text))
    _add("messages", sa.Column("shown", sa.Boolean, nullable=False, server_default=sa.true()))
    _add("messages", sa.Column("system_prompt", sa.Text))
    _add("messages", sa.Column("parameters", sa.JSON(none_as_null=True)))
    if "parent_id" not in _columns("messages"):
        op.execute(_ADD_PARENT)
        op.execute(_ONE_BRANCH)
    op.create_index("ix_messages_parent_id", "messages", ["parent_id"], if_not_exists=True)


def _add(table: str, column: "sa.Column[object]") -> None:
    if column.name not in _columns(table):
        op.add_column(table, column)


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
