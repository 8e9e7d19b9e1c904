"""What an answer thought, how likely its words were, its number in the line, and how a conversation asks."""

import asyncio
import json
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.app.generation import NUM_ALTERNATIVES, Generations
from bise.app.job import place_tokens
from bise.errors import UnavailableError
from bise.messages import Message
from bise.server.admission import Admission
from bise.server.backend import Finished, ScoredToken, TextDelta, ThinkingDelta
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.turns import mark_interrupted
from tests.app.conftest import App
from tests.app.test_generation import parse
from tests.scripted_backend import MODEL, Gate, ScriptedBackend, until

pytestmark = pytest.mark.slow
THOUGHT = (ThinkingDelta("Lakes "), ThinkingDelta("are wet."), TextDelta("Yes"), TextDelta("."), Finished("stop", 3, 9))


def scored(text: bytes, logprob: float | None = -0.5) -> ScoredToken:
    shown = text.decode(errors="replace")
    return ScoredToken(shown, text, logprob, (ScoredToken(shown, text, logprob), ScoredToken("other", b"other", -2.0)))


async def test_thoughts_are_told_kept_and_never_sent_back(app: App) -> None:
    app.backend.events = THOUGHT
    conversation = await app.begin()
    shown = (await app.answered(conversation))["messages"][1]
    assert (shown["content"], shown["thinking"]) == ("Yes.", "Lakes are wet.")
    assert shown["stats"]["thinking_s"] >= 0
    told = parse(await app.events(conversation))
    assert [kind for _, kind, _ in told] == ["thinking", "thinking", "delta", "delta", "done"]
    assert "".join(data["text"] for _, kind, data in told if kind == "thinking") == "Lakes are wet."
    assert app.backend.requests[-1].thinking
    await app.answered(conversation, "Sure?", "c2")
    assert Message("assistant", "Yes.") in app.backend.requests[-1].conversation.messages
    assert "wet" not in str(app.backend.requests[-1].conversation)


async def test_thoughts_survive_a_look_in_the_middle_a_stop_and_a_kill(app: App) -> None:
    gate = Gate()
    app.backend.events, app.backend.before_word = (
        (ThinkingDelta("hm, "), ThinkingDelta("lakes"), TextDelta("Yes")),
        gate,
    )
    conversation = await app.begin()
    message = (await app.send(conversation))["assistant_message"]["id"]
    gate.open(2)
    await app.events(conversation, until=b"lakes")
    shown = await app.look(conversation)
    assert (shown["last_event"], shown["messages"][1]["thinking"]) == (2, "hm, lakes")
    assert shown["messages"][1]["stats"]["thinking_s"] >= 0
    await asyncio.sleep(0.7)
    database = await open_database(app.database.url.render_as_string(hide_password=False))  # the first lies dead
    assert await mark_interrupted(database) == 1
    owner = (await local_owner(database)).id
    _, messages = await Generations(database, Admission(ScriptedBackend(), database)).look(owner, conversation)
    assert (messages[1].thinking, messages[1].status) == ("hm, lakes", "interrupted")
    await database.close()
    assert (await app.client.post(f"/api/messages/{message}/stop")).status_code == 204
    stopped = (await app.look(conversation))["messages"][1]
    assert (stopped["thinking"], stopped["status"]) == ("hm, lakes", "stopped")


async def test_speed_is_told_of_an_answer_that_was_cut_off(app: App) -> None:
    app.backend.failure, app.backend.fail_after = UnavailableError("The engine died."), 3
    app.backend.before_word = lambda _index: asyncio.sleep(0.02)
    conversation = await app.begin()
    stats = (await app.answered(conversation))["messages"][1]["stats"]
    assert stats["tokens"] == 3
    assert stats["tokens_per_s"] > 0


async def test_who_waits_is_told_its_number_in_the_line(app: App) -> None:
    gate = app.backend.before_word = Gate()
    conversation = await app.begin()
    await app.send(conversation)
    await until(lambda: app.backend.requests != [])
    app.backend.requests[-1].tally.queue_place = 2
    told = parse(await app.events(conversation, until=b"event: waiting"))
    assert told[-1][1:] == ("waiting", {"message_id": told[-1][2]["message_id"], "queue_place": 2})
    assert (await app.look(conversation))["messages"][1]["stats"]["queue_place"] == 2
    app.backend.requests[-1].tally.queue_place = 0
    await app.events(conversation, 1, until=b'"queue_place":0')
    gate.open()
    await app.events(conversation)
    assert (await app.look(conversation))["messages"][1]["stats"]["queue_place"] == 0


async def test_probabilities_are_asked_for_and_kept_where_the_chat_wants_them(app: App) -> None:
    tokens = (scored(b"Gr\xc3"), scored(b"\xbc\xc3\x9fe", -0.1), scored(b" \xf0\x9f\xaa\xbf", -1.0))
    conversation = await app.begin()
    first = (await app.answered(conversation))["messages"][1]["id"]
    assert app.backend.requests[-1].sampling.logprobs is None
    assert await probabilities(app, first) == []
    app.backend.events = (TextDelta("Grüße 🪿", tokens=tokens), Finished("stop", 3, 3))
    assert (await choose(app, conversation, {"keeps_probabilities": True}))[0] == 200
    second = (await app.answered(conversation, "again", "c2"))["messages"][3]["id"]
    assert app.backend.requests[-1].sampling.logprobs == NUM_ALTERNATIVES
    kept = await probabilities(app, second)
    assert [(token["start"], token["end"], token["logprob"]) for token in kept] == [
        (0, 3, -0.5),
        (2, 5, -0.1),
        (5, 8, -1),
    ]
    assert kept[1]["top"] == [[kept[1]["text"], -0.1], ["other", -2.0]]
    assert (await app.other.get(f"/api/messages/{second}/probabilities")).status_code == 404
    assert (await app.stranger.get(f"/api/messages/{second}/probabilities")).status_code == 401


async def test_probabilities_are_not_asked_of_a_model_that_tells_none(app: App) -> None:
    app.backend.offered = [replace(MODEL, tells_probabilities=False)]
    conversation = await app.begin()
    await choose(app, conversation, {"keeps_probabilities": True})
    assert (await app.answered(conversation))["messages"][1]["status"] == "complete"
    assert app.backend.requests[-1].sampling.logprobs is None
    (model,) = (await app.client.get("/api/state")).json()["models"]
    assert model["tells_probabilities"] is False


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=20), st.data())
def test_tokens_cover_the_text_that_they_are_made_of(text: str, data: st.DataObject) -> None:
    encoded = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(encoded)), max_size=6)) | {0, len(encoded)})
    tokens = [scored(encoded[a:b]) for a, b in pairwise(cuts)]
    placed = place_tokens(tokens, "née " + text, len("née ".encode()))
    wide = ("née " + text).encode("utf-16-le")
    assert all(token.end > token.start for token in placed)
    assert all(after.start <= before.end for before, after in pairwise(placed))
    if encoded:
        assert (placed[0].start, placed[-1].end) == (4, len(wide) // 2)


def test_figures_end_where_tokens_and_text_part_ways() -> None:
    tokens = [scored(b"Yes"), scored(b"!!"), scored(b"!", None), scored(b" No")]
    assert [token.text for token in place_tokens(tokens, "Yes!!! No", 0)] == ["Yes", "!!", " No"]
    assert [token.text for token in place_tokens(tokens, "Yes! No", 0)] == ["Yes"]


async def test_a_conversation_asks_in_its_own_way(app: App) -> None:
    conversation = await app.begin()
    settings = {
        "system_prompt": "Answer in rhymes.",
        "parameters": {"temperature": 0.0, "top_p": 0.5, "max_tokens": 4, "seed": 7},
        "keeps_probabilities": False,
    }
    status, shown = await choose(app, conversation, settings)
    assert (status, shown) == (200, settings)
    answer = (await app.answered(conversation))["messages"][1]
    assert (answer["finish_reason"], answer["content"]) == ("length", "".join(app.backend.words[:4]))
    sampling = app.backend.requests[-1].sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, sampling.seed) == (0.0, 0.5, 4, 7)
    assert app.backend.requests[-1].conversation.messages[0] == Message("system", "Answer in rhymes.")
    assert answer["parameters"] == settings["parameters"]
    assert (await app.look(conversation))["settings"] == settings
    assert (await choose(app, conversation, {}))[0] == 200
    await app.answered(conversation, "again", "c2")
    assert app.backend.requests[-1].sampling.max_tokens is None
    assert app.backend.requests[-1].conversation.messages[0].role == "user"


async def test_a_conversation_can_begin_with_settings(app: App) -> None:
    settings = {"system_prompt": "Be brief.", "parameters": {"seed": 1}, "keeps_probabilities": True}
    created = (await app.client.post("/api/conversations", json={"settings": settings})).json()
    assert created["settings"] == settings


async def test_a_longest_length_beyond_the_context_is_what_the_context_leaves(app: App) -> None:
    conversation = await app.begin()
    await choose(app, conversation, {"parameters": {"max_tokens": MODEL.context_length}})
    assert (await app.answered(conversation))["messages"][1]["status"] == "complete"
    assert app.backend.requests[-1].sampling.max_tokens is None


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"parameters": {"temperature": 2.1}}, "temperature"),
        ({"parameters": {"temperature": "hot"}}, "temperature"),
        ({"parameters": {"top_p": 0}}, "top_p"),
        ({"parameters": {"max_tokens": 0}}, "max_tokens"),
        ({"parameters": {"max_tokens": 1.5}}, "max_tokens"),
        ({"parameters": {"seed": -1}}, "seed"),
        ({"parameters": {"seed": 2**31}}, "seed"),
        ({"parameters": {"top_k": 3}}, "top_k"),
        ({"system_prompt": " "}, "system_prompt"),
        ({"system_prompt": "a\0b"}, "system_prompt"),
        ({"system_prompt": "x" * 20_001}, "system_prompt"),
        ({"keeps_probabilities": "maybe"}, "keeps_probabilities"),
        ({"else": 1}, "else"),
    ],
)
async def test_wrong_settings_are_refused_by_name_and_change_nothing(app: App, settings: dict, field: str) -> None:
    conversation = await app.begin()
    status, body = await choose(app, conversation, settings)
    assert (status, field in body["error"]["message"]) == (400, True), body
    assert (await app.look(conversation))["settings"]["parameters"] == {}


async def test_settings_of_another_do_not_exist(app: App) -> None:
    conversation = await app.begin()
    path = f"/api/conversations/{conversation}/settings"
    assert (await app.other.put(path, json={})).status_code == 404
    assert (await app.stranger.put(path, json={})).status_code == 401


async def choose(app: App, conversation: str, settings: dict) -> tuple[int, dict]:
    response = await app.client.put(f"/api/conversations/{conversation}/settings", json=settings)
    return response.status_code, json.loads(response.text)


async def probabilities(app: App, message: str) -> list[dict]:
    response = await app.client.get(f"/api/messages/{message}/probabilities")
    assert response.status_code == 200
    return response.json()["tokens"]
