"""Conversations that were brought in remember what they were called where they come from."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import SHA256

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the column, unless it is there."""
    columns = {column["name"] for column in sa.inspect(op.get_bind()).get_columns("conversations")}
    if "source_sha256" not in columns:
        op.add_column("conversations", sa.Column("source_sha256", SHA256))
