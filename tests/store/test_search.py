"""Both databases find what a plain look through all texts finds, for its owner only, and nothing that is gone."""

import asyncio

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bise.store.accounts import create_user, local_owner
from bise.store.backup import back_up, restore
from bise.store.conversations import create_conversation, rename_conversation
from bise.store.database import Database, open_database
from bise.store.deleted import delete_conversation, erase_conversation, restore_conversation
from bise.store.feedback import improve_answer
from bise.store.search import MAX_HITS, excerpt, index_waiting, search_conversations
from bise.store.turns import mark_interrupted, save_partial_answer
from bise.store.words import compose, fold, phrases_of
from tests.store.talk import Talk
from tests.store.test_database import build_at, directly, insert

CORPUS = (
    "The north wind, called bise, blows over the Swiss Plateau.",
    "Die Straße nach Zürich ist größer; Grüße aus Genève!",
    "Le cœur de l’été à Évian : naïveté, ﬁnesse, œuvre.",
    "El niño y la cigüeña cenaron ayer en el café.",
    "Perché no? Così è la città, più o meno.",
    "東京タワーは高い。北風が吹く。",
    "Вітер і Ёжик в тумане",
    "kiss 😘 and wind 🌬️; 👩‍💻 writes x = a['key'] AND NOT b*",
    "Łódź, Ægir, İstanbul, STRASSE, snake_case, 3.14, C++",
    "สวัสดีครับ ลมเหนือ",
)
TYPED = (
    *("bise", "BISE wind", "wind bise", "strasse", "STRASSE", "straße", "coeur", "cœur", "oeuvre", "ŒUVRE", "evian"),
    *("été", "ete", "nino", "NIÑO", "cigue", "citta piu", "cosi", "東京", "京東", "タワー", "北風", "風が吹", "ветер"),
    *(
        "ёжик",
        "ежик",
        "😘",
        "🌬",
        "👩‍💻",
        "a['key']",
        "AND",
        "AND NOT",
        "NOT b*",
        "lodz",
        "aegir",
        "istanbul",
        "3.14",
        "c++",
    ),
    *("swi", "s", "l’e", "snake_c", "ลม", "wind AND NOT", "finesse", "zurich genev"),
)
NOTHING = (
    "",
    " ",
    '"',
    "'",
    "*",
    "(",
    "NEAR(",
    "***",
    "\\",
    "%",
    "_",
    "-",
    "^",
    "…",
    "\0",
    "' OR 1=1 --",
    '""" OR "',
    "🂡🂢",
)


def reads(text: str, query: str) -> bool:
    """Whether a text holds all words of a query: the reference."""
    words, phrases = f" {fold(text)} ", phrases_of(query)
    ends = [" "] * (len(phrases) - 1) + [""]
    return bool(phrases) and all(
        f" {' '.join(phrase)}{end}" in words for phrase, end in zip(phrases, ends, strict=True)
    )


async def found(database: Database, owner: str, query: str) -> list[str]:
    """The messages found, as their excerpts tell them."""
    hits = await search_conversations(database, owner, query)
    return [hit.message_id for hit in hits if hit.message_id is not None]


async def test_what_is_found_is_what_a_look_through_all_texts_finds(database: Database) -> None:
    talk = await Talk.begin(database)
    ids = {}
    for text in CORPUS:
        turn = await talk.ask("?", text)
        ids[turn.assistant_message.id] = text
    assert {text for query in TYPED for text in CORPUS if reads(text, query)} == set(CORPUS)
    for query in (*TYPED, *NOTHING, *CORPUS, *(text.upper() for text in CORPUS)):
        expected = {message for message, text in ids.items() if reads(text, query)}
        assert set(await found(database, talk.owner, query)) == expected, query


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40))
async def test_nothing_that_people_type_is_an_error(database: Database, text: str) -> None:
    """Not one of these words is in the database, but the queries are real."""
    owner = (await local_owner(database)).id
    assert await search_conversations(database, owner, text) == ()


async def test_titles_come_first_then_messages_the_newest_first(database: Database) -> None:
    first, second = await Talk.begin(database), await Talk.begin(database)
    await first.ask("About the bise", "It blows.")
    await second.ask("Hello", "The bise again.")
    await second.ask("More", "and the bise once more")
    await rename_conversation(database, second.owner, second.id, "Bise")
    hits = await search_conversations(database, first.owner, "bise")
    assert [(hit.title, hit.role) for hit in hits] == [
        ("Bise", None),
        ("About the bise", None),
        ("Bise", "assistant"),
        ("Bise", "assistant"),
        ("About the bise", "user"),
    ]
    assert hits[2].at > hits[3].at > hits[4].at


async def test_what_changed_is_found_as_it_is_now_and_what_is_gone_is_not(database: Database) -> None:
    talk = await Talk.begin(database)
    turn = await talk.ask("question", "alpha")
    answer = turn.assistant_message.id

    async def has(word: str) -> bool:
        return answer in await found(database, talk.owner, word)

    assert await has("alpha")
    await improve_answer(database, talk.owner, answer, "beta")
    assert (await has("alpha"), await has("beta")) == (False, True)
    await improve_answer(database, talk.owner, answer, None)
    assert (await has("alpha"), await has("beta")) == (True, False)
    await save_partial_answer(database, answer, "gamma")
    await mark_interrupted(database)
    assert (await has("alpha"), await has("gamma")) == (False, True)
    await rename_conversation(database, talk.owner, talk.id, "delta")
    assert len(await search_conversations(database, talk.owner, "delta")) == 1
    assert len(await search_conversations(database, talk.owner, "question")) == 1  # the message; the title is another
    await delete_conversation(database, talk.owner, talk.id)
    assert await search_conversations(database, talk.owner, "gamma") == ()
    await restore_conversation(database, talk.owner, talk.id)
    assert await has("gamma")
    await delete_conversation(database, talk.owner, talk.id)
    await erase_conversation(database, talk.owner, talk.id)
    for word in ("alpha", "gamma", "delta", "question"):
        assert await search_conversations(database, talk.owner, word) == ()
    async with database.read() as connection:
        for table in ("search_entries", "search_queue"):
            assert await connection.scalar(sa.text(f"SELECT count(*) FROM {table}")) == 0


async def test_only_the_owner_finds_it(database: Database) -> None:
    talk = await Talk.begin(database)
    await talk.ask("secret question", "secret answer")
    other = (await create_user(database, "other")).id
    theirs = await create_conversation(database, other)
    await rename_conversation(database, other, theirs.id, "secret of the other")
    assert [hit.title for hit in await search_conversations(database, other, "secret")] == ["secret of the other"]
    hits = await search_conversations(database, talk.owner, "secret")
    assert {hit.conversation_id for hit in hits} == {talk.id}
    assert len(hits) == 3


async def test_there_are_never_more_than_can_be_read(database: Database) -> None:
    talk = await Talk.begin(database)
    for _ in range(MAX_HITS // 2 + 3):
        await talk.ask("word", "word")
    assert len(await search_conversations(database, talk.owner, "w")) == MAX_HITS


def build_history(url: str, num_messages: int = 450) -> None:
    """A database from before there was a search, with a conversation of each of two people."""
    build_at(url, "0006")
    moment = "2026-01-01 00:00:00"
    with directly(url) as connection:
        for owner, title in (("1", "Über Wind"), ("2", "Über Regen")):
            insert(connection, "users", [{"id": owner, "name": f"user {owner}", "created_at": moment}])
            talk = {"id": f"c{owner}", "user_id": owner, "title": title, "created_at": moment, "updated_at": moment}
            insert(connection, "conversations", [talk | {"last_event": 0}])
            message = {"conversation_id": f"c{owner}", "role": "user", "status": "complete", "created_at": moment}
            said = [{"id": f"m{owner}-{n}", "position": n, "content": f"Wörter {n}"} for n in range(num_messages)]
            insert(connection, "messages", [message | each for each in said])


async def num_waiting(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.scalar(sa.text("SELECT count(*) FROM search_queue")))


async def test_what_was_there_before_there_was_a_search_is_found(url: str) -> None:
    build_history(url)
    database = await open_database(url)
    assert [hit.title for hit in await search_conversations(database, "1", "uber")] == ["Über Wind"]
    assert await found(database, "1", "worter 449") == ["m1-449"]
    assert await num_waiting(database) == 451  # the other's: nobody waits for those
    await database.close()


async def test_the_server_indexes_a_whole_history_and_the_search_finds_nothing_left_to_do(url: str) -> None:
    build_history(url)
    database = await open_database(url)
    assert await num_waiting(database) == 902
    assert await index_waiting(database) == 902
    assert await num_waiting(database) == 0
    assert await index_waiting(database) == 0
    for owner, title in (("1", "Über Wind"), ("2", "Über Regen")):
        assert [hit.title for hit in await search_conversations(database, owner, "uber")] == [title]
        assert await found(database, owner, "worter 449") == [f"m{owner}-449"]
    await database.close()


async def begin_to_index(database: Database) -> "asyncio.Task[int]":
    """Index in the background; some of the history is indexed now."""
    before, indexing = await num_waiting(database), asyncio.create_task(index_waiting(database))
    while await num_waiting(database) == before:  # noqa: ASYNC110 - the database tells nobody
        await asyncio.sleep(0)
    return indexing


async def test_a_search_in_the_midst_of_it_finds_everything(url: str) -> None:
    build_history(url)
    database = await open_database(url)
    indexing = await begin_to_index(database)
    assert await found(database, "2", "worter 449") == ["m2-449"]
    await rename_conversation(database, "1", "c1", "Neuer Name")
    assert [hit.title for hit in await search_conversations(database, "1", "neuer")] == ["Neuer Name"]
    assert await search_conversations(database, "1", "wind") == ()
    await indexing
    assert await num_waiting(database) == 0
    assert await found(database, "1", "worter 449") == ["m1-449"]
    await database.close()


async def test_an_end_in_the_midst_of_it_loses_nothing(url: str) -> None:
    build_history(url)
    database = await open_database(url)
    indexing = await begin_to_index(database)
    indexing.cancel()
    await asyncio.wait({indexing})
    assert indexing.cancelled()
    left = await num_waiting(database)
    assert 0 < left < 902
    assert await index_waiting(database) == left
    for number in (0, 200, 449):
        assert f"m1-{number}" in await found(database, "1", f"worter {number}")
        assert f"m2-{number}" in await found(database, "2", f"worter {number}")
    await database.close()


async def test_what_was_put_back_is_found_and_what_it_replaced_is_not(database: Database, tmp_path) -> None:
    talk = await Talk.begin(database)
    await talk.ask("kept", "kept")
    assert len(await found(database, talk.owner, "kept")) == 2
    await back_up(database, tmp_path / "copy.backup")
    await talk.ask("later", "later")
    await restore(database, tmp_path / "copy.backup")
    assert len(await found(database, talk.owner, "kept")) == 2
    assert await found(database, talk.owner, "later") == []


@pytest.mark.parametrize("query", [query for query in TYPED if any(reads(text, query) for text in CORPUS)])
def test_an_excerpt_is_of_the_text_and_marks_the_words_found(query: str) -> None:
    for text in (text for text in CORPUS if reads(text, query)):
        long = "many other things before " * 9 + text + " and many after" * 9
        for each in (text, long):
            pieces = excerpt(each, phrases_of(query))
            line = "".join(piece.text for piece in pieces)
            assert line.strip("…") in " ".join(compose(each).split())
            assert len(line) < 220
            marked = {fold(piece.text) for piece in pieces if piece.found}
            words = [word for phrase in phrases_of(query) for word in phrase]
            assert marked
            assert all(word in words or word.startswith(words[-1]) for word in marked)


def test_the_marks_and_all_words_of_an_excerpt_are_in_it() -> None:
    pieces = excerpt("one\n\n  two three", phrases_of("two o"))
    assert [(piece.text, piece.found) for piece in pieces] == [
        ("one", True),
        (" ", False),
        ("two", True),
        (" three", False),
    ]
