"""What an answer's error is called, and the values in it, so that a page can say it in its reader's language."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column, unless it is there; older errors keep their English sentence alone."""
    if "error_facts" not in {each["name"] for each in sa.inspect(op.get_bind()).get_columns("messages")}:
        op.add_column("messages", sa.Column("error_facts", sa.JSON(none_as_null=True)))
