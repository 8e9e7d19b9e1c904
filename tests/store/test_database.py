"""The schema that migrations build is the schema that the code expects, from every earlier step, with nothing lost."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import bise.store
from bise.errors import InputError, UnavailableError
from bise.store.accounts import local_owner
from bise.store.branches import AnswerSettings, Question, add_turn
from bise.store.conversations import create_conversation, delete_conversation
from bise.store.database import Database, open_database
from bise.store.tables import metadata, users
from bise.store.turns import finish_answer, get_conversation

MIGRATIONS = Path(bise.store.__file__).parent / "migrations"


def build_at(path: Path, revision: str) -> None:
    """Make a database as an earlier Bise left it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


async def differences(database: Database) -> list[object]:
    async with database.read() as connection:
        return await connection.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata))


async def test_migrations_build_what_the_tables_say(database: Database) -> None:
    assert await differences(database) == []


def test_files_of_migrations_begin_with_their_revision() -> None:
    for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions():
        assert Path(script.path).stem.startswith(f"v{script.revision}_")


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
async def test_an_earlier_database_is_brought_up_to_date_and_copied_before(
    tmp_path: Path, url: str, revision: str
) -> None:
    path = tmp_path / "bise.db"
    build_at(path, revision)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO users (id, name, created_at) VALUES ('1', 'Ada', '2026-01-01 00:00:00')")
    database = await open_database(url)
    assert await differences(database) == []
    async with database.read() as reader:
        assert await reader.scalar(sa.select(users.c.name)) == "Ada"
    await database.close()
    (copy,) = tmp_path.glob("*.backup")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT name FROM users").fetchall() == [("Ada",)]
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]


async def test_old_conversations_become_trees_of_one_branch_and_lose_nothing(tmp_path: Path, url: str) -> None:
    path, num_turns = tmp_path / "bise.db", 700  # a chain longer than SQLite's limit of nested cascades
    build_at(path, "0002")
    moment = "2026-01-01 00:00:00.000000"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO users VALUES ('1', 'Ada', ?)", (moment,))
        for name in ("long", "other"):
            connection.execute("INSERT INTO conversations VALUES (?, '1', 'T', ?, ?, 7)", (name, moment, moment))
            for position in range(2 * num_turns):
                role = ("user", "assistant")[position % 2]
                connection.execute(
                    "INSERT INTO messages (id, conversation_id, position, role, content, status, created_at) "
                    "VALUES (?, ?, ?, ?, ?, 'complete', ?)",
                    (f"{name}{position}", name, position, role, f"{role} {position}", moment),
                )
    for _ in range(2):
        database = await open_database(url)
        conversation, messages = await get_conversation(database, "1", "long")
        assert conversation.last_event == 7
        assert [message.id for message in messages] == [f"long{position}" for position in range(2 * num_turns)]
        assert [message.content for message in messages[:2]] == ["user 0", "assistant 1"]
        assert all(len(message.branches) == 1 for message in messages)
        await database.close()
    database = await open_database(url)
    await delete_conversation(database, "1", "long")
    assert len((await get_conversation(database, "1", "other"))[1]) == 2 * num_turns
    await database.close()


async def test_steps_that_were_done_may_be_done_again(tmp_path: Path, url: str) -> None:
    """A copy of which only the version was put back, for example."""
    database = await open_database(url)
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    turn = await add_turn(database, owner, conversation.id, Question("a", "c1"), AnswerSettings("m"))
    done = replace(turn.assistant_message, content="A", status="complete")
    await finish_answer(database, conversation.id, done, 1)
    first = turn.user_message.id
    await add_turn(database, owner, conversation.id, Question("b", "c2", instead_of=first), AnswerSettings("m"))
    before = await get_conversation(database, owner, conversation.id)
    await database.close()
    with closing(sqlite3.connect(tmp_path / "bise.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    database = await open_database(url)
    assert await differences(database) == []
    assert await get_conversation(database, owner, conversation.id) == before
    await database.close()


async def test_a_new_or_current_database_is_not_copied(tmp_path: Path, url: str) -> None:
    for _ in range(2):
        database = await open_database(url)
        await database.close()
    assert list(tmp_path.glob("*.backup")) == []


async def test_opening_at_the_same_moment_migrates_once(url: str) -> None:
    opened = await asyncio.gather(*(open_database(url) for _ in range(4)))
    owners = await asyncio.gather(*(local_owner(database) for database in opened))
    for database in opened:
        await database.close()
    assert len(set(owners)) == 1


async def test_a_damaged_database_is_a_sentence(tmp_path: Path, url: str) -> None:
    (tmp_path / "bise.db").write_bytes(b"this was never a database" * 100)
    with pytest.raises(InputError, match=r"bise\.db is damaged .*backup"):
        await open_database(url)


async def test_a_database_of_a_newer_bise_is_a_sentence_and_stays_as_it_is(tmp_path: Path, url: str) -> None:
    database = await open_database(url)
    await database.close()
    with closing(sqlite3.connect(tmp_path / "bise.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(InputError, match=r"newer Bise .*9999.*pip install -U bise"):
        await open_database(url)
    with closing(sqlite3.connect(tmp_path / "bise.db")) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


async def test_a_place_that_cannot_hold_a_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UnavailableError, match="could not be made"):
        await open_database(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'bise.db'}")


async def test_the_database_is_for_its_owner_only(tmp_path: Path, database: Database) -> None:
    assert (tmp_path / "bise.db").stat().st_mode & 0o077 == 0


async def test_a_failing_write_leaves_nothing(database: Database) -> None:
    owner = await local_owner(database)

    async def write() -> None:
        async with database.write() as connection:
            await connection.execute(sa.update(users).values(name="changed"))
            await connection.execute(users.insert().values(id=owner.id, name="twice", created_at=None))

    with pytest.raises(sa.exc.IntegrityError):
        await write()
    assert await local_owner(database) == owner
