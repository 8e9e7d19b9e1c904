"""What conversations are searched by: folded texts with an index, and the list of those to fold anew.

Triggers fill that list whenever a title, a message or a better answer appears or changes, whoever writes it; it begins
with everything there is. `search.py` works it off. These tables follow from the others and are never copied.
"""

import sqlalchemy as sa
from alembic import op

from bise.store.tables import ID

revision = "0007"
down_revision = "0006"

# When the trigger fires, on which table, and what it puts on the list.
_CHANGES = {
    "search_message_insert": ("INSERT ON messages", "VALUES (NEW.id, NEW.conversation_id)"),
    "search_message_update": ("UPDATE OF content ON messages", "VALUES (NEW.id, NEW.conversation_id)"),
    "search_title_insert": ("INSERT ON conversations", "VALUES (NEW.id, NEW.id)"),
    "search_title_update": ("UPDATE OF title ON conversations", "VALUES (NEW.id, NEW.id)"),
    **{
        f"search_better_{change.lower()}": (
            f"{change} ON better_answers",
            f"SELECT id, conversation_id FROM messages WHERE id = {row}.message_id",
        )
        for change, row in (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
    },
}
_EVERYTHING = """
INSERT INTO search_queue (subject_id, conversation_id)
SELECT id, conversation_id FROM messages UNION ALL SELECT id, id FROM conversations WHERE true
ON CONFLICT DO NOTHING
"""
_SQLITE_INDEX = [
    # Texts come folded, with single spaces: all but spaces belongs to words. The texts themselves are kept once, outside.
    "CREATE VIRTUAL TABLE IF NOT EXISTS search_index "
    "USING fts5(folded, content='search_entries', content_rowid='id', tokenize='ascii', prefix='1 2 3')",
    "CREATE TRIGGER IF NOT EXISTS search_entry_insert AFTER INSERT ON search_entries "
    "BEGIN INSERT INTO search_index(rowid, folded) VALUES (NEW.id, NEW.folded); END",
    "CREATE TRIGGER IF NOT EXISTS search_entry_delete AFTER DELETE ON search_entries "
    "BEGIN INSERT INTO search_index(search_index, rowid, folded) VALUES ('delete', OLD.id, OLD.folded); END",
]
_POSTGRES_INDEX = [
    "CREATE INDEX IF NOT EXISTS ix_search_entries_folded ON search_entries "
    "USING gin (array_to_tsvector(string_to_array(folded, ' ')))"
]


def upgrade() -> None:
    """Make the tables, the triggers and the index, those that are not there, and list everything."""
    _create_tables()
    dialect = op.get_bind().dialect.name
    for statement in _SQLITE_INDEX if dialect == "sqlite" else _POSTGRES_INDEX:
        op.execute(statement)
    for name, (change, rows) in _CHANGES.items():
        _create_trigger(dialect, name, change, rows)
    op.execute(_EVERYTHING)


def _create_tables() -> None:
    op.create_table(
        "search_entries",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), autoincrement=False),
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.Column("message_id", ID),
        sa.Column("folded", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_search_entries"),
        sa.UniqueConstraint("subject_id", name="uq_search_entries_subject_id"),
        _belongs("search_entries", "conversation_id", "conversations"),
        _belongs("search_entries", "message_id", "messages"),
        if_not_exists=True,
    )
    op.create_table(
        "search_queue",
        sa.Column("subject_id", ID, nullable=False),
        sa.Column("conversation_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("subject_id", name="pk_search_queue"),
        _belongs("search_queue", "conversation_id", "conversations"),
        if_not_exists=True,
    )
    for table, column in (
        ("search_entries", "conversation_id"),
        ("search_entries", "message_id"),
        ("search_queue", "conversation_id"),
    ):
        op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)


def _belongs(table: str, column: str, owner: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{owner}.id"], name=f"fk_{table}_{column}", ondelete="CASCADE")


def _create_trigger(dialect: str, name: str, change: str, rows: str) -> None:
    insert = f"INSERT INTO search_queue (subject_id, conversation_id) {rows}"
    if dialect == "sqlite":
        insert = insert.replace("INSERT", "INSERT OR IGNORE", 1)
        op.execute(f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {change} BEGIN {insert}; END")
        return
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$BEGIN {insert} ON CONFLICT DO NOTHING; RETURN NULL; END$$"
    )
    op.execute(f"CREATE OR REPLACE TRIGGER {name} AFTER {change} FOR EACH ROW EXECUTE FUNCTION {name}()")
