"""Roles, projects, what keys may do, limits, usage, and a log that nobody can change."""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID, SHA256, UtcTime

revision = "0005"
down_revision = "0004"

# In SQLite each kind of change needs a trigger of its own; PostgreSQL needs a function that raises.
_APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER IF NOT EXISTS audit_no_{change} BEFORE {change} ON audit "
        "BEGIN SELECT RAISE(ABORT, 'the audit log can only grow'); END"
        for change in ("update", "delete")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE EXCEPTION 'the audit log can only grow'; END$$",
        "CREATE OR REPLACE TRIGGER audit_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows()",
    ],
}


def upgrade() -> None:
    """Add what is not there. Keys from before may do what they could; the owner of this machine is its admin."""
    _add("users", sa.Column("role", sa.String(16), nullable=False, server_default="user"))
    _add("users", sa.Column("disabled_at", UtcTime))
    op.execute("UPDATE users SET role = 'admin' WHERE name = 'owner'")
    op.create_table(
        "sign_in_links",
        sa.Column("token_sha256", SHA256, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("expires_at", UtcTime, nullable=False),
        sa.PrimaryKeyConstraint("token_sha256", name="pk_sign_in_links"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_sign_in_links_user_id", ondelete="CASCADE"),
        if_not_exists=True,
    )
    op.create_index("ix_sign_in_links_user_id", "sign_in_links", ["user_id"], if_not_exists=True)
    _create_projects()
    _add("api_keys", sa.Column("scopes", sa.JSON, nullable=False, server_default='["inference", "embeddings"]'))
    _add("api_keys", sa.Column("models", sa.JSON(none_as_null=True)))
    _add("api_keys", sa.Column("expires_at", UtcTime))
    if "project_id" not in _columns("api_keys"):
        # Alembic would build the table anew for a foreign key in SQLite.
        key = "CONSTRAINT fk_api_keys_project_id REFERENCES projects (id)"
        op.execute(f"ALTER TABLE api_keys ADD COLUMN project_id VARCHAR(32) {key}")
    op.create_index("ix_api_keys_project_id", "api_keys", ["project_id"], if_not_exists=True)
    _create_accounting()
    for statement in _APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)


def _create_projects() -> None:
    op.create_table(
        "projects",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("created_at", UtcTime, nullable=False),
        sa.Column("archived_at", UtcTime),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.UniqueConstraint("name", name="uq_projects_name"),
        if_not_exists=True,
    )
    op.create_table(
        "project_members",
        sa.Column("project_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", name="pk_project_members"),
        sa.ForeignKeyConstraint(
            ["project_id"], ["projects.id"], name="fk_project_members_project_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_project_members_user_id", ondelete="CASCADE"),
        if_not_exists=True,
    )
    op.create_index("ix_project_members_user_id", "project_members", ["user_id"], if_not_exists=True)


def _create_accounting() -> None:
    op.create_table(
        "limits",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("requests_per_s", sa.Float),
        sa.Column("tokens_per_min", sa.BigInteger),
        sa.Column("tokens_per_month", sa.BigInteger),
        sa.Column("tokens_total", sa.BigInteger),
        sa.Column("parallel", sa.Integer),
        sa.PrimaryKeyConstraint("kind", "subject_id", name="pk_limits"),
        if_not_exists=True,
    )
    op.create_table(
        "usage",
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("project_id", ID, nullable=False),
        sa.Column("key_id", ID, nullable=False),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("num_requests", sa.BigInteger, nullable=False),
        sa.Column("num_prompt_tokens", sa.BigInteger, nullable=False),
        sa.Column("num_completion_tokens", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "user_id", "project_id", "key_id", "model", name="pk_usage"),
        if_not_exists=True,
    )
    op.create_table(
        "audit",
        sa.Column("id", ID, nullable=False),
        sa.Column("at", UtcTime, nullable=False),
        sa.Column("actor", sa.String(150), nullable=False),
        sa.Column("action", sa.String(50), nullable=False),
        sa.Column("subject", sa.String(250), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        if_not_exists=True,
    )
    op.create_index("ix_audit_at", "audit", ["at"], if_not_exists=True)


def _add(table: str, column: "sa.Column[object]") -> None:
    if column.name not in _columns(table):
        op.add_column(table, column)


def _columns(table: str) -> set[str]:
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
