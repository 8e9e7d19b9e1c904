"""The schema that migrations build is the schema that the code expects, from every earlier step, with nothing lost."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
from bise.store.accounts import local_owner, start_session, user_of_session
from bise.store.branches import AnswerSettings, Question, add_turn
from bise.store.conversations import create_conversation
from bise.store.database import Database, open_database, read_url
from bise.store.deleted import delete_conversation, erase_conversation
from bise.store.migrating import revisions
from bise.store.tables import metadata, users
from bise.store.turns import finish_answer, get_conversation
from tests.postgres import Postgres

MIGRATIONS = Path(bise.store.__file__).parent / "migrations"
MOMENT = "2026-01-01 00:00:00"


@contextmanager
def directly(url: str) -> Iterator[sa.Connection]:
    """A connection that knows nothing of Bise."""
    engine = sa.create_engine(read_url(url).set(drivername=read_url(url).drivername.replace("+aiosqlite", "")))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def build_at(url: str, revision: str) -> None:
    """Make a database as an earlier Bise left it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with directly(url) as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def insert(connection: sa.Connection, table: str, rows: list[dict[str, object]]) -> None:
    columns = ", ".join(rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    connection.execute(sa.text(f"INSERT INTO {table} ({columns}) VALUES ({values})"), rows)


async def differences(database: Database) -> list[object]:
    def is_kept(name: str | None, kind: str, _parents: object) -> bool:
        return not (kind == "table" and str(name).startswith("search_"))  # those follow from the others

    def compare(connection: sa.Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection, opts={"include_name": is_kept}), metadata)

    async with database.read() as connection:
        return await connection.run_sync(compare)


async def test_migrations_build_what_the_tables_say(database: Database) -> None:
    assert await differences(database) == []


def test_files_of_migrations_begin_with_their_revision() -> None:
    for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions():
        assert Path(script.path).stem.startswith(f"v{script.revision}_")


@pytest.mark.parametrize(
    "revision", ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011"]
)
async def test_an_earlier_database_is_brought_up_to_date_and_copied_before(
    tmp_path: Path, url: str, revision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    build_at(url, revision)
    with directly(url) as connection:
        insert(connection, "users", [{"id": "1", "name": "Ada", "created_at": MOMENT}])
    database = await open_database(url)
    assert await differences(database) == []
    async with database.read() as reader:
        assert await reader.scalar(sa.select(users.c.name)) == "Ada"
    await database.close()
    copies = list(tmp_path.glob("*.backup"))
    assert len(copies) == (revision != revisions()[0])
    for copy in copies:
        assert copy.stat().st_mode & 0o077 == 0
        with closing(sqlite3.connect(copy)) as copied:
            ((name, moment),) = copied.execute("SELECT name, created_at FROM users").fetchall()
            assert (name, moment.removesuffix(".000000")) == ("Ada", MOMENT)
            assert copied.execute("SELECT version_num FROM alembic_version").fetchall() == [(revision,)]


async def test_old_conversations_become_trees_of_one_branch_and_lose_nothing(url: str) -> None:
    num_turns = 700  # a chain longer than SQLite's limit of nested cascades
    build_at(url, "0002")
    with directly(url) as connection:
        insert(connection, "users", [{"id": "1", "name": "Ada", "created_at": MOMENT}])
        talk = {"user_id": "1", "title": "T", "created_at": MOMENT, "updated_at": MOMENT, "last_event": 7}
        insert(connection, "conversations", [{"id": name, **talk} for name in ("long", "other")])
        said = [
            {
                "id": f"{name}{position}",
                "conversation_id": name,
                "position": position,
                "role": (role := ("user", "assistant")[position % 2]),
                "content": f"{role} {position}",
                "status": "complete",
                "created_at": MOMENT,
            }
            for name in ("long", "other")
            for position in range(2 * num_turns)
        ]
        insert(connection, "messages", said)
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
    await erase_conversation(database, "1", "long")
    assert len((await get_conversation(database, "1", "other"))[1]) == 2 * num_turns
    await database.close()


KILLED = """
import asyncio, os, signal, sys
import sqlalchemy as sa
from bise.store.database import open_database

left = int(sys.argv[2])

@sa.event.listens_for(sa.Engine, "before_cursor_execute")
def count(connection, cursor, statement, *rest):
    global left
    if statement.lstrip().upper().startswith(("CREATE", "ALTER", "UPDATE", "INSERT")):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(open_database(sys.argv[1]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("num_statements", [0, 3, 9, 14])
async def test_a_migration_that_is_killed_leaves_what_was_there_and_is_done_by_the_next(
    url: str, num_statements: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    build_at(url, "0001")
    with directly(url) as connection:
        insert(connection, "users", [{"id": "1", "name": "Ada", "created_at": MOMENT}])
    command_line = [sys.executable, "-c", KILLED, url, str(num_statements)]
    done = await asyncio.to_thread(subprocess.run, command_line, check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    with directly(url) as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "0001"
        assert not sa.inspect(connection).has_table("conversations")
    database = await open_database(url)
    assert await differences(database) == []
    async with database.read() as reader:
        assert await reader.scalar(sa.select(users.c.name)) == "Ada"
    await database.close()


async def test_steps_that_were_done_may_be_done_again(url: str) -> None:
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
    with directly(url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
    database = await open_database(url)
    assert await differences(database) == []
    assert await get_conversation(database, owner, conversation.id) == before
    await database.close()


async def test_a_new_or_current_database_is_not_copied(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
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


async def test_a_damaged_database_is_a_sentence(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "bise.db").write_bytes(b"this was never a database" * 100)
    with pytest.raises(InputError, match=r"bise\.db is damaged .*backup"):
        await open_database(sqlite_url)


async def test_a_database_of_a_newer_bise_is_a_sentence_and_stays_as_it_is(url: str) -> None:
    database = await open_database(url)
    await database.close()
    with directly(url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(InputError, match=r"newer Bise .*9999.*pip install -U bise"):
        await open_database(url)
    with directly(url) as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == "9999"


async def test_a_place_that_cannot_hold_a_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    with pytest.raises(UnavailableError, match="could not be made"):
        await open_database(f"sqlite+aiosqlite:///{tmp_path / 'file' / 'bise.db'}")


async def test_the_database_is_for_its_owner_only(tmp_path: Path, sqlite_url: str) -> None:
    await (await open_database(sqlite_url)).close()
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


async def test_what_one_write_reads_is_still_true_when_it_writes(url: str) -> None:
    """Two processes that count up at the same moments lose nothing."""
    opened = [await open_database(url) for _ in range(3)]
    owner = await local_owner(opened[0])

    async def count_up(database: Database) -> None:
        for _ in range(10):
            async with database.write() as connection:
                number = await connection.scalar(sa.select(users.c.default_model).where(users.c.id == owner.id))
                await asyncio.sleep(0.001)
                await connection.execute(sa.update(users).values(default_model=str(int(number or 0) + 1)))

    await asyncio.gather(*map(count_up, opened))
    async with opened[0].read() as connection:
        assert await connection.scalar(sa.select(users.c.default_model)) == "30"
    for database in opened:
        await database.close()


async def test_a_read_sees_one_state(database: Database) -> None:
    owner = await local_owner(database)
    async with database.read() as reader:
        before = await reader.scalar(sa.select(users.c.default_model))
        async with database.write() as connection:
            await connection.execute(sa.update(users).values(default_model="m"))
        assert await reader.scalar(sa.select(users.c.default_model)) == before
    assert (await user_of_session(database, await start_session(database, owner))).default_model == "m"


async def test_a_character_that_postgresql_cannot_hold_is_shown_as_such(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    turn = await add_turn(database, owner, conversation.id, Question("a", "c1"), AnswerSettings("m"))
    await finish_answer(
        database, conversation.id, replace(turn.assistant_message, content="x\0y", status="complete"), 1
    )
    assert (await get_conversation(database, owner, conversation.id))[1][1].content == "x\ufffdy"


@pytest.mark.parametrize(
    ("url", "words"),
    [("nothing", "not a URL"), ("mysql://x/y", r"begins with mysql.*sqlite:///PATH"), ("sqlite://", "sqlite:///PATH")],
)
async def test_an_address_of_nothing_we_know_is_a_sentence(url: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        await open_database(url)


async def test_a_postgresql_that_is_away_is_a_sentence_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"postgresql\+psycopg://ada:\*\*\*@.* cannot be used now") as caught:
        await open_database(f"postgresql://ada:secret@/bise?host={tmp_path}")
    assert "secret" not in str(caught.value)


async def test_a_database_that_was_away_is_used_again(postgres: Postgres) -> None:
    """Its connections die with it; no restart of ours is needed."""
    database = await open_database(postgres.new_url())
    owner = await local_owner(database)
    async with database.read() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        with pytest.raises(sa.exc.OperationalError):
            await connection.execute(sa.text(others))
        await connection.invalidate()
    assert await local_owner(database) == owner
    await database.close()
