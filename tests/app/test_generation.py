"""Answers are jobs of the server: what a browser sees is whole and the same, however often it goes and comes back."""

import asyncio
import json
import re

import pytest

from bise.app import events as events_module
from bise.app.events import EventLog
from bise.app.generation import Generations
from bise.errors import UnavailableError
from bise.server.admission import Admission
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.turns import get_conversation, mark_interrupted
from tests.app.conftest import App
from tests.scripted_backend import MODEL, Gate, ScriptedBackend, until

pytestmark = pytest.mark.slow


def parse(stream: bytes) -> list[tuple[int | None, str, dict]]:
    found = re.findall(rb"(?:id: (\d+)\n)?event: (\w+)\ndata: (.*)\n\n", stream)
    return [(int(number) if number else None, kind.decode(), json.loads(data)) for number, kind, data in found]


async def test_the_message_is_kept_before_the_first_token(app: App) -> None:
    seen = []

    async def look_into_the_database(index: int) -> None:
        if index == 0:
            owner = (await local_owner(app.database)).id
            seen.extend((await get_conversation(app.database, owner, conversation))[1])

    app.backend.before_word = look_into_the_database
    conversation = await app.begin()
    await app.answered(conversation, "Keep me")
    assert [(m.role, m.content, m.status) for m in seen] == [
        ("user", "Keep me", "complete"),
        ("assistant", "", "generating"),
    ]


async def test_events_are_numbered_without_gaps_and_tell_the_answer(app: App) -> None:
    conversation = await app.begin()
    for turn in range(3):
        await app.answered(conversation, f"turn {turn}", f"c{turn}")
    told = parse(await app.events(conversation, until=b"id: 21"))
    assert [number for number, _, _ in told] == list(range(1, 22))
    messages = [m for m in (await app.look(conversation))["messages"] if m["role"] == "assistant"]
    for message in messages:
        deltas = [data["text"] for _, kind, data in told if kind == "delta" and data["message_id"] == message["id"]]
        assert "".join(deltas) == message["content"] == "".join(app.backend.words)
        assert [data["message"] for _, kind, data in told if kind == "done"].count(message) == 1


async def test_coming_back_after_any_event_gives_the_bytes_of_the_unbroken_stream(app: App) -> None:
    gate = app.backend.before_word = Gate()
    conversation = await app.begin()
    await app.send(conversation)
    unbroken = asyncio.create_task(app.events(conversation))
    broken = []
    for after in range(4):  # while it is being written
        gate.open(1)
        broken.append((after, await app.events(conversation, after, until=b"id: %d\n" % (after + 1))))
    gate.open()
    whole = await unbroken
    pieces = [piece + b"\n\n" for piece in whole.split(b"\n\n")[:-1]]
    assert [kind for _, kind, _ in parse(whole)] == ["delta"] * 6 + ["done"]
    for after, piece in broken:
        assert piece == pieces[after]
    for after in range(len(pieces)):  # after its end
        assert await app.events(conversation, after) == b"".join(pieces[after:])


async def test_last_event_id_comes_before_the_address(app: App) -> None:
    conversation = await app.begin()
    await app.answered(conversation)
    path = f"/api/conversations/{conversation}/events?after=0"
    async with app.client.stream("GET", path, headers={"last-event-id": "6"}) as stream:
        assert parse(await anext(stream.aiter_bytes()))[0][:2] == (7, "done")


async def test_a_look_and_the_events_after_it_give_the_whole(app: App) -> None:
    gate = app.backend.before_word = Gate()
    conversation = await app.begin()
    await app.send(conversation)
    for words in range(1, 5):
        gate.open(1)
        await app.events(conversation, after=words - 1, until=b"event: delta")
        shown = await app.look(conversation)
        assert shown["last_event"] == words
        assert shown["messages"][1]["content"] == "".join(app.backend.words[:words])
        assert shown["messages"][1]["status"] == "generating"


async def test_all_who_watch_see_the_same(app: App) -> None:
    conversation = await app.begin()
    watching = [asyncio.create_task(app.events(conversation)) for _ in range(5)]
    await app.send(conversation)
    assert len(set(await asyncio.gather(*watching))) == 1


async def test_nobody_watching_changes_nothing(app: App) -> None:
    conversation = await app.begin()
    await app.send(conversation)
    await until(lambda: app.backend.requests != [] and app.backend.num_running == 0)
    assert parse(await app.events(conversation))[-1][2]["message"]["status"] == "complete"


async def test_stop_frees_the_backend_and_keeps_the_text(app: App) -> None:
    gate = app.backend.before_word = Gate()
    gate.open(2)
    conversation = await app.begin()
    message = (await app.send(conversation))["assistant_message"]["id"]
    await app.events(conversation, until=b"jour")
    for _ in range(2):  # stopping twice is stopping once
        assert (await app.client.post(f"/api/messages/{message}/stop")).status_code == 204
        assert app.backend.num_running == 0
    shown = (await app.look(conversation))["messages"][1]
    assert (shown["content"], shown["status"]) == ("Bonjour", "stopped")
    assert parse(await app.events(conversation))[-1][2]["message"] == shown
    gate.open()
    assert (await app.answered(conversation, "go on", "c2"))["messages"][3]["status"] == "complete"


async def test_stop_before_the_first_word(app: App) -> None:
    app.backend.before_word = Gate()
    conversation = await app.begin()
    message = (await app.send(conversation))["assistant_message"]["id"]
    assert (await app.client.post(f"/api/messages/{message}/stop")).status_code == 204
    shown = (await app.look(conversation))["messages"][1]
    assert (shown["content"], shown["status"]) == ("", "stopped")


async def test_an_engine_that_dies_fails_the_answer_with_its_words_and_keeps_the_text(app: App) -> None:
    app.backend.failure, app.backend.fail_after = UnavailableError("The engine died. Ask again."), 2
    conversation = await app.begin()
    shown = (await app.answered(conversation))["messages"][1]
    assert (shown["content"], shown["status"]) == ("Bonjour", "failed")
    assert shown["error"] == "The engine died. Ask again."
    app.backend.failure = None
    assert (await app.answered(conversation, "again", "c2"))["messages"][3]["status"] == "complete"


async def test_a_mistake_of_our_own_is_told_without_its_details(app: App) -> None:
    app.backend.failure, app.backend.fail_after = ZeroDivisionError("division by zero"), 1
    conversation = await app.begin()
    shown = (await app.answered(conversation))["messages"][1]
    assert shown["status"] == "failed"
    assert shown["error"] == "The server made a mistake. Its log says more; please report it."
    assert shown["error_facts"] == {"code": "internal", "values": {}}


async def test_the_text_so_far_is_kept_while_it_is_written(app: App) -> None:
    gate = app.backend.before_word = Gate()
    gate.open(3)
    conversation = await app.begin()
    await app.send(conversation)
    owner = (await local_owner(app.database)).id

    async def kept() -> str:
        return (await get_conversation(app.database, owner, conversation))[1][1].content

    async with asyncio.timeout(1):
        while await kept() != "".join(app.backend.words[:3]):  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_killed_server_leaves_its_text_marked_and_never_numbers_events_twice(app: App) -> None:
    gate = app.backend.before_word = Gate()
    gate.open(2)
    conversation = await app.begin()
    await app.send(conversation)
    seen = parse(await app.events(conversation, until=b"jour"))[-1][0]
    await asyncio.sleep(0.7)
    database = await open_database(
        app.database.url.render_as_string(hide_password=False)
    )  # the next server, while the first lies dead
    assert await mark_interrupted(database) == 1
    after_restart = Generations(database, Admission(ScriptedBackend(), database))
    owner = (await local_owner(database)).id
    found, messages = await after_restart.look(owner, conversation)
    assert (messages[1].status, messages[1].content) == ("interrupted", "Bonjour")
    assert found.last_event > seen
    told = after_restart.follow(found, messages, seen)  # the browser comes back with the number it saw
    ((number, kind, data),) = parse(await anext(told))
    assert (number, kind, data["message"]["status"]) == (found.last_event, "done", "interrupted")
    await told.aclose()
    await database.close()


async def test_closing_the_server_keeps_the_text_and_ends_the_streams(app: App) -> None:
    gate = app.backend.before_word = Gate()
    gate.open(2)
    conversation = await app.begin()
    await app.send(conversation)
    async with app.client.stream("GET", f"/api/conversations/{conversation}/events") as stream:
        pieces = stream.aiter_bytes()
        await anext(pieces)
        await until(lambda: app.generations._jobs[conversation].pieces == ["Bon", "jour"])
        await app.generations.close()
        async for _ in pieces:
            pass
    message = (await app.look(conversation))["messages"][1]
    assert (message["status"], message["content"]) == ("interrupted", "Bonjour")
    assert app.backend.num_running == 0


async def test_a_long_conversation_goes_on_with_the_newest_turns_and_says_so(app: App) -> None:
    conversation = await app.begin()
    dropped = []
    for turn in range(8):
        shown = await app.answered(conversation, f"turn {turn} has seven words in all", f"c{turn}")
        assert shown["messages"][-1]["status"] == "complete"
        dropped.append(shown["messages"][-1]["stats"]["dropped_turns"])
        sent = app.backend.requests[-1].conversation.messages
        assert sent[0].role == "user"
        assert sent[-1].content == f"turn {turn} has seven words in all"
        assert len(sent) == 2 * (turn + 1 - dropped[-1]) - 1
        assert await app.backend.count_tokens("", app.backend.requests[-1].conversation) <= MODEL.context_length * 3 / 4
    assert dropped[0] == 0
    assert dropped[-1] > 0


async def test_a_message_longer_than_the_context_fails_with_both_numbers(app: App) -> None:
    conversation = await app.begin()
    shown = (await app.answered(conversation, "word " * 100))["messages"][1]
    assert shown["status"] == "failed"
    assert "101 tokens" in shown["error"]
    assert "64" in shown["error"]
    told = {"code": "context_length_exceeded", "values": {"tokens": 101, "context": 64}}
    assert shown["error_facts"] == told
    owner = (await local_owner(app.database)).id
    assert (await get_conversation(app.database, owner, conversation))[1][1].error_facts == told


async def test_stats_are_measured(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    app.backend.before_word = lambda _index: asyncio.sleep(0.01)
    conversation = await app.begin()
    stats = (await app.answered(conversation))["messages"][1]["stats"]
    assert stats["tokens"] == 6
    assert stats["first_token_s"] >= 0
    assert 0 < stats["tokens_per_s"] <= 100
    monkeypatch.setattr("bise.app.job._MEASURABLE_S", 60.0)
    stats = (await app.answered(conversation, "again", "c2"))["messages"][3]["stats"]
    assert (stats["tokens"], stats["tokens_per_s"]) == (6, None), "what came at once has no speed"


async def test_old_events_are_replaced_by_the_finished_messages() -> None:
    log = EventLog(0)
    for _ in range(events_module.MAX_EVENTS + 1):
        log.publish("delta", {})
    log.trim()
    assert log.first == log.last == events_module.MAX_EVENTS + 1
    log.publish("delta", {"n": 1})
    reader = log.read(log.first)
    assert parse(await anext(reader))[0] == (log.last, "delta", {"n": 1})
    await reader.aclose()
