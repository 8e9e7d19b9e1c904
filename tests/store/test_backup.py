"""What a backup holds comes back, whole or not at all, into either of the two databases."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bise.errors import InputError
from bise.store.accounts import create_user, local_owner
from bise.store.audit import list_audit
from bise.store.backup import back_up, restore
from bise.store.conversations import ConversationSettings, choose_settings
from bise.store.database import Database, open_database
from bise.store.feedback import Rating, rate_answer
from bise.store.migrating import backup_path
from bise.store.probabilities import KeptToken
from bise.store.tables import metadata, users
from bise.store.turns import finish_answer
from tests.postgres import Postgres
from tests.store.talk import Talk


async def contents(database: Database) -> dict[str, list[Any]]:
    async with database.read() as connection:
        return {
            table.name: [
                tuple(map(str, row)) for row in await connection.execute(table.select().order_by(*table.primary_key))
            ]
            for table in metadata.sorted_tables
        }


async def fill(database: Database) -> None:
    """Branches before and after each other, judgements, two users."""
    talk = await Talk.begin(database)
    first = await talk.ask("Hello", "Good day! 🪿")
    await talk.again(first.assistant_message.id, "Grüß Gott!")
    await talk.ask("And?", "so", instead_of=first.user_message.id)
    await rate_answer(database, talk.owner, first.assistant_message.id, Rating("up", None, "très bien"))
    token = KeptToken(0, 4, "Good", -0.25, (("Good", -0.25), ("Grüß", -1.5)))
    again = (await talk.ask("Why?", "Good day!")).assistant_message
    await finish_answer(database, talk.id, replace(again, thinking="hm", status="complete"), 9, [token])
    await choose_settings(database, talk.owner, talk.id, ConversationSettings("Be brief.", {"seed": 7}, True))
    await create_user(database, "other")


@pytest.mark.parametrize("other", ["sqlite", "postgresql"])
async def test_what_is_put_back_is_what_was_there(
    database: Database, other: str, tmp_path: Path, postgres: Postgres
) -> None:
    await fill(database)
    before = await contents(database)
    await back_up(database, tmp_path / "copy.backup")
    assert (tmp_path / "copy.backup").stat().st_mode & 0o077 == 0
    target = await open_database(postgres.new_url() if other == "postgresql" else f"sqlite:///{tmp_path / 'other.db'}")
    await create_user(target, "goes away")
    counts = await restore(target, tmp_path / "copy.backup")
    after = await contents(target)
    assert {entry.subject for entry in await list_audit(target, 9)} == {"user other", "user goes away", "database"}
    assert set(before.pop("audit")) <= set(after.pop("audit"))
    assert after == before
    assert (counts["users"], counts["messages"], counts["ratings"], counts["answer_tokens"]) == (2, 7, 1, 1)
    await target.close()


async def test_a_backup_of_an_earlier_bise_is_brought_up_to_date(database: Database, tmp_path: Path) -> None:
    await fill(database)
    before = await contents(database)
    copy = tmp_path / "copy.backup"
    await back_up(database, copy)
    with closing(sqlite3.connect(copy)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '0002'")
    old = copy.read_bytes()
    await restore(database, copy)
    assert {**await contents(database), "audit": before["audit"]} == before
    assert copy.read_bytes() == old


async def test_what_cannot_be_put_back_changes_nothing(database: Database, tmp_path: Path) -> None:
    await fill(database)
    before = await contents(database)
    good, copy = tmp_path / "good.backup", tmp_path / "copy.backup"
    await back_up(database, good)
    with closing(sqlite3.connect(tmp_path / "foreign.db")) as connection, connection:
        connection.execute("CREATE TABLE users (id)")
    cases = {
        "There is no file": b"",
        "holds no database of Bise": (tmp_path / "foreign.db").read_bytes(),
        "not a database": b"no database" * 1000,
        r"copy\.backup cannot be put back \(.*Nothing was changed": good.read_bytes()[:-20_000] + b"\1" * 20_000,
    }
    for words, content in cases.items():
        copy.unlink(missing_ok=True)
        if content:
            copy.write_bytes(content)
        with pytest.raises(InputError, match=f"(?s){words}"):
            await restore(database, copy)
        assert await contents(database) == before, words
    with closing(sqlite3.connect(good)) as connection, connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE messages SET conversation_id = 'gone'")
    with pytest.raises(sa.exc.IntegrityError):
        await restore(database, good)
    assert await contents(database) == before


async def test_a_backup_replaces_no_file(database: Database, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("precious", encoding="utf-8")
    with pytest.raises(InputError, match="already"):
        await back_up(database, tmp_path / "there")
    with pytest.raises(InputError, match="no directory"):
        await back_up(database, tmp_path / "none" / "such")
    assert (tmp_path / "there").read_text(encoding="utf-8") == "precious"


async def test_a_backup_is_one_moment_though_others_write(database: Database, tmp_path: Path) -> None:
    await local_owner(database)
    async with database.write() as connection:
        await connection.execute(sa.update(users).values(name="half done"))
        await back_up(database, tmp_path / "copy.backup")
    with closing(sqlite3.connect(tmp_path / "copy.backup")) as copied:
        assert copied.execute("SELECT name FROM users").fetchall() == [("owner",)]


def test_copies_of_one_second_have_names_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 11, 26, 3, 49, 43, tzinfo=UTC)
    monkeypatch.setattr("bise.store.migrating.now", lambda: moment)
    url = sa.make_url(f"sqlite:///{tmp_path / 'bise.db'}")
    names = []
    for _ in range(3):
        path = backup_path(url, "before-restore")
        path.touch()
        names.append(path.name)
    assert names == [f"bise.db.20261126-034943{n}.before-restore.backup" for n in ("", "-1", "-2")]
