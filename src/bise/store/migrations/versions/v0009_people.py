"""Passwords, sessions that can be listed and renewed, invitations, and accounts of other providers."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID, SHA256, UtcTime

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add what is not there. Browsers that are signed in stay so."""
    _add("users", sa.Column("password_hash", sa.String(200)))
    _add("sessions", sa.Column("id", ID, nullable=False, server_default=""))
    _add("sessions", sa.Column("agent", sa.String(200), nullable=False, server_default=""))
    _add("sessions", sa.Column("seen_at", UtcTime))
    _add("sessions", sa.Column("renewed_at", UtcTime))
    _add("sessions", sa.Column("previous_sha256", SHA256))
    op.execute("UPDATE sessions SET id = substr(token_sha256, 1, 32) WHERE id = ''")
    op.create_index("ix_sessions_previous_sha256", "sessions", ["previous_sha256"], if_not_exists=True)
    op.create_table(
        "invitations",
        sa.Column("id", ID, nullable=False),
        sa.Column("token_sha256", SHA256, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.Column("uses_left", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_sha256", name="uq_invitations_token_sha256"),
        if_not_exists=True,
    )
    op.create_table(
        "identities",
        sa.Column("issuer", sa.String(300), nullable=False),
        sa.Column("subject", sa.String(300), nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identities"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_identities_user_id", ondelete="CASCADE"),
        if_not_exists=True,
    )
    op.create_index("ix_identities_user_id", "identities", ["user_id"], if_not_exists=True)


def _add(table: str, column: "sa.Column[object]") -> None:
    if column.name not in {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}:
        op.add_column(table, column)
