"""What leaves comes in again as it was; what others bring is a tree of turns or a sentence, and never a traceback."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.app.archive import as_markdown, write_archive
from bise.app.archive_reading import MAX_CONVERSATION_CHARS, read_file
from bise.app.importing import Import, Imports
from bise.app.portable_records import MAX_MESSAGES, read_record
from bise.errors import BiseError, InputError
from bise.store.accounts import create_user, local_owner
from bise.store.branches import Question, add_answer, add_turn
from bise.store.conversations import ConversationSettings, choose_settings, list_conversations
from bise.store.database import Database, open_database
from bise.store.deleted import delete_conversation
from bise.store.feedback import Rating, exclude_feedback, improve_answer, list_feedback, prefer_answer, rate_answer
from bise.store.folders import create_folder, file_conversation, list_folders, pin_conversation
from bise.store.portable import check_tree, list_portable, read_portable
from bise.store.turns import get_conversation
from tests.app.conftest import App
from tests.postgres import Postgres
from tests.store.talk import SETTINGS, Talk


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    url = f"sqlite:///{tmp_path / 'bise.db'}"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.new_url()
    opened = await open_database(url)
    yield opened
    await opened.close()


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))


async def export(database: Database, owner: str, language: str = "en") -> bytes:
    return b"".join([piece async for piece in write_archive(database, owner, language)])


async def bring(database: Database, owner: str, content: bytes) -> Import:
    async def pieces() -> AsyncIterator[bytes]:
        yield content

    imports = Imports(database)
    state = await imports.start(owner, pieces())
    await imports.ended(owner)
    return state


def records(archive: bytes) -> list[dict[str, Any]]:
    """The conversations of an archive, with numbers in the places of ids."""
    found = []
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        for name in opened.namelist():
            if name.endswith(".json") and name != "bise.json":
                text = opened.read(name).decode()
                record = json.loads(text)
                for number, message in enumerate(record["messages"]):
                    text = text.replace(message["id"], f"message-{number}")
                found.append(json.loads(text.replace(record["id"], "conversation")))
    return found


async def fill(database: Database) -> str:
    """Conversations with everything that can be in them; their owner."""
    talk, plain, hidden = [await Talk.begin(database) for _ in range(3)]
    first = (await talk.ask("Hello <b>&</b> \0 ünïcode 🦆", "one")).assistant_message.id
    second = (await talk.again(first, "two")).assistant_message.id
    await talk.ask("And then?", "Then this.", status="interrupted")
    question = (await talk.shown())[0].id
    await talk.ask("Hello, asked differently", "three", instead_of=question)
    await rate_answer(database, talk.owner, first, Rating("down", "wrong", "no, “really”"))
    await improve_answer(database, talk.owner, second, "zwei")
    await prefer_answer(database, talk.owner, first, second, "other")
    chosen = ConversationSettings("Be a duck.", {"temperature": 0.5}, keeps_probabilities=True)
    await choose_settings(database, talk.owner, talk.id, chosen)
    folder = await create_folder(database, talk.owner, "Ducks", "Quack.")
    await file_conversation(database, talk.owner, talk.id, folder.id)
    await pin_conversation(database, talk.owner, plain.id, True)
    for item in (await list_feedback(database, talk.owner))[:2]:
        await exclude_feedback(database, talk.owner, item.id, True)
    await plain.ask('../../etc/passwd: a "title" *?', "plain")
    await hidden.ask("deleted", "deleted")
    await delete_conversation(database, hidden.owner, hidden.id)
    return talk.owner


async def test_what_leaves_comes_in_as_it_was_and_leaves_the_same(database: Database) -> None:
    owner, other = await fill(database), (await create_user(database, "other")).id
    first = await export(database, owner)
    state = await bring(database, other, first)
    assert (state.status, state.num_imported, state.num_messages, state.left_out) == ("finished", 2, 9, {})
    assert records(await export(database, other)) == records(first)
    for mine, theirs in zip(await list_portable(database, owner), await list_portable(database, other), strict=True):
        said = [(await get_conversation(database, who, each))[1] for who, each in ((owner, mine), (other, theirs))]
        shown = [[(each.text, each.status, len(each.branches)) for each in one] for one in said]
        assert shown[0] == shown[1]
    kinds = [
        [(item.kind, item.excluded, item.better, item.chosen, item.created_at) for item in items]
        for items in (await list_feedback(database, owner), await list_feedback(database, other))
    ]
    assert kinds[0] == kinds[1] != []


async def test_projects_what_is_in_them_and_pins_are_taken_along(database: Database) -> None:
    owner, other = await fill(database), (await create_user(database, "other")).id
    await create_folder(database, owner, "Geese", "Honk.")
    await create_folder(database, other, "Of somebody else", "")
    archive = await export(database, owner)
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        projects = json.loads(opened.read("bise.json"))["projects"]
    assert projects == [{"name": "Ducks", "instructions": "Quack."}, {"name": "Geese", "instructions": "Honk."}]
    inside, plain = records(archive)
    assert (inside["folder"], inside["pinned_at"]) == ({"name": "Ducks", "instructions": "Quack."}, None)
    assert plain["folder"] is None
    await bring(database, other, archive)
    theirs = {folder.id: folder.name for folder in await list_folders(database, other)}
    assert set(theirs.values()) == {"Ducks", "Of somebody else"}
    filed = {each.title: (each.folder_id, each.pinned) for each in await list_conversations(database, other)}
    assert theirs[filed[inside["title"]][0]] == "Ducks"
    assert filed[plain["title"]] == (None, True)
    again = {each["title"]: each["pinned_at"] for each in records(await export(database, other))}
    assert plain["pinned_at"] is not None
    assert again[plain["title"]] == plain["pinned_at"]


async def test_the_same_file_twice_is_taken_in_once_and_one_s_own_not_at_all(database: Database) -> None:
    owner, other = await fill(database), (await create_user(database, "other")).id
    archive = await export(database, owner)
    assert (await bring(database, owner, archive)).num_known == 2
    assert [(await bring(database, other, archive)).num_imported for _ in range(2)] == [2, 0]
    theirs = await list_conversations(database, other)
    await delete_conversation(database, other, theirs[0].id)
    assert (await bring(database, other, archive)).num_imported == 1  # what was deleted can be brought again


async def test_what_was_brought_goes_on_like_any_other(database: Database) -> None:
    other = (await create_user(database, "other")).id
    await bring(database, other, json.dumps([chatgpt()]).encode())
    (conversation,) = await list_conversations(database, other)
    _, said = await get_conversation(database, other, conversation.id)
    turn = await add_turn(database, other, conversation.id, Question("and?", "c1"), SETTINGS)
    assert turn.user_message.parent_id == said[-1].id
    for answer in [each.id for each in said if each.role == "assistant"]:
        with pytest.raises(BiseError, match="being written"):
            await add_answer(database, other, conversation.id, answer, "c2", SETTINGS)


async def test_an_archive_names_what_an_ai_made_and_reads_in_every_language(database: Database) -> None:
    owner = await fill(database)
    for language, machine in (("en", "AI"), ("de", "KI"), ("fr", "IA"), ("es", "IA"), ("it", "IA")):
        with zipfile.ZipFile(io.BytesIO(await export(database, owner, language))) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            texts = [archive.read(name).decode() for name in names if name.endswith(".md")]
        assert f"## {machine} · m" in texts[0]
        assert machine in texts[0].splitlines()[2]
        assert {"one", "zwei", "three", "Then this."} <= set(texts[0].splitlines())
        assert not any(".." in name.split("/") or name.startswith("/") for name in names)
        assert len(names) == 5
    made_by = [
        (each["role"], each["made_by"])
        for record in records(await export(database, owner))
        for each in record["messages"]
    ]
    assert set(made_by) == {("user", "person"), ("assistant", "ai")}


async def test_markdown_shows_every_message_once(database: Database) -> None:
    owner = await fill(database)
    conversation = await read_portable(database, owner, (await list_portable(database, owner))[0])
    text = as_markdown(conversation, "en")
    for message in conversation.messages:
        said = message.better.content if message.better else message.content
        assert text.splitlines().count(said) == 1, said
    assert text.index("three") < text.index("# Other versions") < text.index("one")


def node(name: str, parent: str | None, role: str, text: Any, **facts: Any) -> dict[str, Any]:
    content = text if isinstance(text, dict) else {"content_type": "text", "parts": [text]}
    message = {"id": name, "author": {"role": role}, "content": content, "create_time": 1_700_000_000.5, **facts}
    return {"id": name, "message": message, "parent": parent, "children": []}


def chatgpt(**changes: Any) -> dict[str, Any]:
    """A conversation as ChatGPT exports it: hidden instructions, a picture, a tool, an answer made anew."""
    picture = {"content_type": "multimodal_text", "parts": [{"content_type": "image_asset_pointer"}, "What is this?"]}
    call = {"content_type": "code", "language": "unknown", "text": "search('ducks')"}
    nodes = [
        {"id": "root", "message": None, "parent": None, "children": ["system"]},
        node("system", "root", "system", ""),
        node("context", "system", "user", "I am a vet", metadata={"is_visually_hidden_from_conversation": True}),
        node("q1", "context", "user", picture),
        node("a1", "q1", "assistant", "Let me look.", metadata={"model_slug": "gpt-4o"}),
        node("call", "a1", "assistant", call, recipient="browser"),
        node("tool", "call", "tool", "results"),
        node("a1b", "tool", "assistant", "A duck.", metadata={"model_slug": "gpt-4o"}),
        node("a2", "q1", "assistant", "A goose.", metadata={"model_slug": "gpt-5"}),
        node("q2", "a1b", "user", "Sure?"),
        node("thought", "q2", "assistant", {"content_type": "thoughts", "thoughts": [{"content": "hm"}]}),
        node("a3", "thought", "assistant", "Yes."),
    ]
    head = {"title": "Birds", "create_time": 1_700_000_000.0, "update_time": 1_700_000_100.0, "conversation_id": "c-1"}
    return head | {"mapping": {each["id"]: each for each in nodes}, "current_node": "a3"} | changes


def test_chatgpt_s_tree_becomes_turns_and_what_is_left_out_is_counted() -> None:
    brought = read_record(chatgpt())
    said = {message.id: message for message in brought.conversation.messages}
    check_tree(brought.conversation.messages)
    assert [(each.id, each.parent, each.content, each.shown) for each in said.values()] == [
        ("q1", None, "What is this?", True),
        ("a1", "q1", "Let me look.\n\nA duck.", True),
        ("q2", "a1", "Sure?", True),
        ("a3", "q2", "Yes.", True),
        ("a2", "q1", "A goose.", False),
    ]
    assert (said["a1"].model, said["a2"].model, said["q1"].model) == ("gpt-4o", "gpt-5", None)
    assert brought.left_out == {"hidden": 1, "attachments": 1, "tools": 2, "thinking": 1}
    assert (brought.conversation.title, brought.conversation.created_at.year) == ("Birds", 2023)


def test_the_branch_that_was_read_last_is_shown() -> None:
    said = read_record(chatgpt(current_node="a2")).conversation.messages
    assert [each.id for each in said if each.shown] == ["q1", "q2", "a3", "a2"]  # of a branch not shown, its own last


RING = {
    "x": node("x", "y", "user", "round"),
    "y": node("y", "x", "assistant", "and round"),
    "q": node("q", None, "user", "Hello"),
}
ODD: dict[str, Any] = {
    "a ring": {"mapping": RING},
    "its own parent": {"mapping": {"x": node("x", "x", "user", "me")}},
    "no nodes": {"mapping": {}},
    "nodes that are none": {"mapping": {"x": None, "y": 7, "z": [], "q": node("q", "x", "user", "Hello")}},
    "answers first": {"mapping": {"a": node("a", None, "assistant", "Hello!"), "q": node("q", "a", "user", "Hi")}},
    "questions in a row": {"mapping": {"a": node("a", None, "user", "one"), "b": node("b", "a", "user", "two")}},
    "odd parts": {"mapping": {"a": node("a", None, "user", {"parts": [None, 1, {"a": []}, ["x"], "text", True]})}},
    "no parts": {"mapping": {"a": node("a", None, "user", {"content_type": "text"})}},
    "odd authors": {"mapping": {"a": {"message": {"author": "me", "content": {"parts": ["x"]}}, "parent": 5}}},
    "odd times": {
        "mapping": {"a": node("a", None, "user", "x", create_time=1e300)},
        "create_time": -5,
        "update_time": "x",
    },
    "odd names": {"title": ["x"], "conversation_id": {"a": 1}, "current_node": {"b": 2}},
    "a lone surrogate": {"title": "\ud800", "mapping": {"a": node("a", None, "user", "a\ud800b\0c")}},
    "a long title": {"title": "x" * 100_000},
}


@pytest.mark.parametrize("odd", ODD)
async def test_odd_conversations_come_in_as_far_as_they_can(database: Database, odd: str) -> None:
    owner = (await create_user(database, "other")).id
    content = json.dumps([chatgpt(conversation_id="other"), chatgpt(**ODD[odd])])
    state = await bring(database, owner, content.encode())
    assert (state.status, state.num_imported, state.error) == ("finished", 2, None), state
    for each in await list_portable(database, owner):
        check_tree((await read_portable(database, owner, each)).messages)
    assert len(records(await export(database, owner))) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(["q1", "a1", "user", "text"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["message", "parent", "children", "author", "content", "parts", "role", "metadata", "q1", "a1"]
            ),
            inner,
            max_size=6,
        )
    ),
    max_leaves=40,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["q1", "a1", "x"]), JSON, max_size=3), JSON, JSON)
def test_any_mapping_is_a_tree_of_turns(mapping: Any, title: Any, current: Any) -> None:
    check_tree(read_record({"mapping": mapping, "title": title, "current_node": current}).conversation.messages)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["id", "title", "created_at", "updated_at", "messages", "preferences"]), JSON))
def test_any_record_of_ours_is_read_or_refused_with_a_sentence(record: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        read_record({"format": "bise-conversation", "version": 1} | record | {"messages": record.get("messages", 1)})


def own(**changes: Any) -> dict[str, Any]:
    moment = "2026-01-01T00:00:00+00:00"
    question = {"id": "q", "parent": None, "role": "user", "content": "Hi", "created_at": moment}
    answer = question | {"id": "a", "parent": "q", "role": "assistant"}
    head = {
        "format": "bise-conversation",
        "version": 1,
        "id": "c",
        "title": "T",
        "created_at": moment,
        "updated_at": moment,
    }
    return head | {"messages": [question, answer]} | changes


def said(**changes: Any) -> dict[str, Any]:
    question, answer = own()["messages"]
    return own(messages=[question, answer | changes])


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (own(version=2), "version is 2"),
        (own(format="x"), "neither"),
        (said(parent="nobody"), "does not come before"),
        (said(parent="a"), "does not come before"),
        (said(id="q"), "earlier one"),
        (said(role="user"), "out of turn"),
        (said(role="system"), "messages.1.role"),
        (said(created_at="2026-01-01T00:00:00"), "no zone"),
        (said(created_at="9999-12-31T23:59:59+00:00"), "bounds"),
        (said(stats=nested(20)), "too deeply"),
        (said(parameters={"temperature": 9}), "temperature"),
        (own(parameters={"colour": 1}), "colour"),
        (own(system_prompt="x" * 50_000), "system_prompt"),
        (own(preferences=[{"first": "a", "second": "a", "verdict": "equal", "created_at": "2026-01-01T00:00:00Z"}]), "preference"),
        (own(messages=own()["messages"][:1] * (MAX_MESSAGES + 1)), "at most"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_conversation_is_said(record: dict[str, Any], words: str) -> None:
    assert read_record(own()).conversation.title == "T"
    with pytest.raises(InputError, match=words):
        read_record(record)


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


GOOD = json.dumps(own()).encode()
BOMB = zipped({"conversations.json": b" " * (40 << 20)})
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", ""),
    "text": (lambda: b"Hello", "no list of conversations"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n\xff\xfe", "not text in UTF-8"),
    "UTF-16": (lambda: "[{}]".encode("utf-16"), "UTF-8"),
    "numbers": (lambda: b"[1, 2]", "no list of conversations"),
    "cut in two": (lambda: GOOD[:-20], "damaged"),
    "nonsense inside": (lambda: b'[{"a": nonsense, "b": 1111111111111111111111}]', "damaged"),
    "a deep nest": (lambda: b'[{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}]", "too deeply"),
    "a deep nest that never ends": (lambda: b'{"a":' * 100_000, "too deeply"),
    "a huge number": (lambda: b'[{"a": ' + b"9" * 10_000 + b"}]", "digits"),
    "a number out of bounds": (lambda: b'[{"a": 1e999}]', "number"),
    "no number": (lambda: b'[{"a": NaN}]', "number"),
    "an endless conversation": (lambda: b'[{"a": "' + b"x" * (MAX_CONVERSATION_CHARS + (1 << 20)), "longer than"),
    "no zip file": (lambda: b"PK\x03\x04nonsense", "zip"),
    "a zip file cut in two": (lambda: BOMB[: len(BOMB) // 2], "zip"),
    "a zip file without conversations": (lambda: zipped({"a.txt": b"x", "conversations/a.md": b"x"}), "no conversations"),
    "a zip file of nonsense": (lambda: zipped({"conversations.json": b"nonsense"}), "no list"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_get_a_sentence(name: str) -> None:
    make, words = HOSTILE[name]
    if not words:
        assert list(read_file(io.BytesIO(make()))) == []
        return
    with pytest.raises(InputError, match=words):
        list(read_file(io.BytesIO(make())))


def test_bombs_are_read_in_little_memory_or_refused_by_what_they_say() -> None:
    assert list(read_file(io.BytesIO(BOMB))) == []  # forty megabytes of nothing, never held at once
    entry = bytearray(zipped({"conversations.json": b"{}"}))
    size = entry.rindex(b"PK\x01\x02") + 24
    entry[size : size + 4] = (0xF0000000).to_bytes(4, "little")
    with pytest.raises(InputError, match="larger than"):
        list(read_file(io.BytesIO(entry)))
    many = bytearray(zipped({"conversations.json": b"{}"}))
    end = many.rindex(b"PK\x05\x06")
    many[end + 12 : end + 16] = (1 << 30).to_bytes(4, "little")
    with pytest.raises(InputError, match="too many files"):
        list(read_file(io.BytesIO(many)))


class Counted(io.BytesIO):
    """A file that counts how often it is read from."""

    num_reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.num_reads += 1
        return super().read(size)


def test_the_next_conversation_costs_memory_for_itself_and_not_for_what_lies_after_it() -> None:
    """Else a file of one long conversation and many short ones costs time by the square of its length."""
    file = Counted(b'[{"a": "' + b"x" * (1 << 21) + b'"}' + b",{}" * 200 + b" " * (1 << 20) + b"]")
    found, costs = read_file(file), []
    tracemalloc.start()
    try:
        next(found)
        for _ in range(200):
            before, num_reads = tracemalloc.get_traced_memory()[0], file.num_reads
            tracemalloc.reset_peak()
            assert next(found).record == {}
            costs += [tracemalloc.get_traced_memory()[1] - before] if file.num_reads == num_reads else []
    finally:
        tracemalloc.stop()
    assert len(costs) > 190
    assert max(costs) < 100_000


@pytest.mark.parametrize("before", [b"", b'{"a": [1, {"b": "}"}]},\n' * 9, b'{"a": "' + b"x" * 200_000 + b'"}, '])
def test_places_of_faults_are_counted_from_their_conversation_s_beginning(before: bytes) -> None:
    file = io.BytesIO(b"[" + before + b'{"a": nonsense, "b": "' + b"y" * 100 + b'"}]')
    with pytest.raises(InputError, match="in a conversation, character 7: expecting value"):
        list(read_file(file))


def test_names_in_a_zip_file_lead_nowhere(tmp_path: Path) -> None:
    found = list(
        read_file(io.BytesIO(zipped({"../../conversations/evil.json": GOOD, "/etc/conversations.json": GOOD})))
    )
    assert [each.record["id"] for each in found] == ["c", "c"]
    assert list(tmp_path.rglob("*.json")) == []


@pytest.mark.parametrize("piece", [1, 7, 64])
def test_files_are_read_the_same_however_they_come(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bise.app.archive_reading._PIECE_BYTES", piece)
    several = [own(id=f"c{number}", title="ä🦆" * number) for number in range(6)]
    for text in (json.dumps(several, indent=1, ensure_ascii=False), "\n".join(json.dumps(each) for each in several)):
        found = [each.record for each in read_file(io.BytesIO(b"\xef\xbb\xbf" + text.encode()))]
        assert found == several


async def test_a_damaged_end_keeps_what_came_before_and_bad_ones_are_named(database: Database) -> None:
    owner = (await create_user(database, "other")).id
    bad = own(id="bad", title="Bad", version=9)
    content = b"[" + GOOD + b"," + json.dumps(bad).encode() + b"," + GOOD[:-9]
    state = await bring(database, owner, content)
    assert (state.status, state.num_imported, state.num_refused) == ("failed", 1, 1)
    assert state.refusals[0]["title"] == "Bad"
    assert "damaged" in (state.error or "")
    assert state.error_facts == {"code": "file_unreadable", "values": {}}


async def test_the_page_brings_a_file_larger_than_other_bodies_and_follows_it(app: App) -> None:
    assert (await app.client.get("/api/import")).json() == {"import": None}
    long = own(title="Long", messages=[own()["messages"][0] | {"content": "x" * (3 << 20)}])
    response = await app.client.post("/api/import", content=json.dumps(long).encode())
    assert response.status_code == 202, response.text
    assert response.json()["import"]["status"] == "running"
    await app.imports.ended((await local_owner(app.database)).id)
    state = (await app.client.get("/api/import")).json()["import"]
    assert (state["status"], state["num_imported"], state["left_out"]) == ("finished", 1, {})
    assert (await app.client.post("/api/import", content=b"")).status_code == 400
    archive = await app.client.get("/api/export.zip", params={"language": "de"})
    assert archive.headers["content-disposition"].startswith('attachment; filename="bise-')
    assert [each["title"] for each in records(archive.content)] == ["Long"]
    assert (await app.other.get("/api/import")).json() == {"import": None}
    assert records((await app.other.get("/api/export.zip")).content) == []
    assert (await app.client.delete("/api/import")).status_code == 204
    assert not list((app.home).glob("tmp*"))
