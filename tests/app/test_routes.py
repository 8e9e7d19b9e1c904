"""What the page asks: conversations of their owner, and sentences for what is wrong."""

import httpx
import pytest

from bise.server.guard import MAX_BODY_BYTES
from tests.app.conftest import App
from tests.scripted_backend import MODEL, Gate, until

pytestmark = pytest.mark.slow


async def test_state_tells_the_page_what_it_shows(app: App) -> None:
    state = (await app.client.get("/api/state")).json()
    assert state["user"] == {"name": "owner", "role": "admin"}
    assert state["models"] == [
        {
            "id": "scripted",
            "host": None,
            "tells_probabilities": True,
            "demonstration": False,
            "context_length": MODEL.context_length,
            "card_markdown": "# Scripted",
        }
    ]
    assert state["default_model"] == "scripted"
    assert state["default_parameters"] == {"temperature": 0.3, "top_p": 1.0}
    assert state["version"]


async def test_a_conversation_from_beginning_to_end(app: App) -> None:
    first, second = await app.begin(), await app.begin()
    shown = await app.answered(first, "What is the name of the wind?")
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"]
    assert shown["messages"][1]["content"] == "".join(app.backend.words)
    assert shown["messages"][1]["model"] == "scripted"
    assert (shown["title"], shown["generating"]) == ("What is the name of the wind?", False)
    listed = (await app.client.get("/api/conversations")).json()["conversations"]
    assert [entry["id"] for entry in listed] == [first, second]
    assert set(listed[0]) == {"id", "title", "updated_at", "generating", "model", "folder_id", "pinned", "settings"}
    renamed = await app.client.patch(f"/api/conversations/{first}", json={"title": "Winds"})
    assert renamed.json()["title"] == (await app.look(first))["title"] == "Winds"
    assert (await app.client.delete(f"/api/conversations/{first}")).status_code == 204
    assert (await app.client.get(f"/api/conversations/{first}")).status_code == 404
    assert len((await app.client.get("/api/conversations")).json()["conversations"]) == 1


async def test_only_this_conversation_is_sent(app: App) -> None:
    first, second = await app.begin(), await app.begin()
    await app.answered(first, "secret")
    await app.answered(second, "one", "c1")
    await app.answered(second, "two", "c2")
    answer = "".join(app.backend.words)
    sent = app.backend.requests[-1].conversation.messages
    assert [(m.role, m.content) for m in sent] == [("user", "one"), ("assistant", answer), ("user", "two")]


async def test_the_same_message_twice_is_one(app: App) -> None:
    gate = app.backend.before_word = Gate()
    conversation = await app.begin()
    first = await app.send(conversation, "Hello", "same")
    second = await app.send(conversation, "Hello", "same")
    assert first == second
    gate.open()
    await app.events(conversation)
    third = await app.send(conversation, "Hello", "same")
    assert third["assistant_message"]["id"] == first["assistant_message"]["id"]
    assert len((await app.look(conversation))["messages"]) == 2
    assert len(app.backend.requests) == 1


async def test_another_message_must_wait_for_the_answer(app: App) -> None:
    app.backend.before_word = Gate()
    conversation = await app.begin()
    await app.send(conversation)
    path = f"/api/conversations/{conversation}/messages"
    response = await app.client.post(path, json={"content": "and?", "client_id": "c2"})
    assert response.status_code == 409
    assert "Wait for its end, or stop it" in response.json()["error"]["message"]
    assert (await app.look(conversation))["generating"]
    assert (await app.client.get("/api/conversations")).json()["conversations"][0]["generating"]


REFUSED = [
    ('{"content": "", "client_id": "a"}', "empty"),
    ('{"content": " \\n\\t", "client_id": "a"}', "empty"),
    ('{"content": "a\\u0000b", "client_id": "a"}', "NUL"),
    ('{"content": "a", "client_id": ""}', "empty"),
    ('{"content": "a", "client_id": "%s"}' % ("x" * 101), "at most 100"),
    ('{"content": "a"}', "client_id"),
    ('{"content": 5, "client_id": "a"}', "string"),
    ("{", "not valid JSON"),
    ("", "not valid JSON"),
    ("[]", "object"),
]


async def test_a_message_that_is_none_is_refused_with_a_sentence(app: App) -> None:
    conversation = await app.begin()
    for body, words in REFUSED:
        response = await app.client.post(f"/api/conversations/{conversation}/messages", content=body)
        assert response.status_code == 400
        assert words in response.json()["error"]["message"]
    assert (await app.look(conversation))["messages"] == []


async def test_an_oversized_message_is_refused(app: App) -> None:
    conversation = await app.begin()
    body = {"content": "x" * MAX_BODY_BYTES, "client_id": "a"}
    response = await app.client.post(f"/api/conversations/{conversation}/messages", json=body)
    assert response.status_code == 413
    assert response.json()["error"]["message"]
    assert (await app.look(conversation))["messages"] == []


async def test_a_number_that_is_none_is_refused(app: App) -> None:
    conversation = await app.begin()
    for after in ("-1", "x", "1e3", "9" * 30, "٣", ""):
        response = await app.client.get(f"/api/conversations/{conversation}/events", params={"after": after})
        assert response.status_code == 400


async def test_nothing_of_somebody_else_exists_or_changes(app: App) -> None:
    gate = app.backend.before_word = Gate()
    gate.open(2)
    conversation = await app.begin()
    message = (await app.send(conversation))["assistant_message"]["id"]
    await app.events(conversation, until=b"jour")
    before = await app.look(conversation)
    foreign = [
        ("GET", f"/api/conversations/{conversation}", None),
        ("PATCH", f"/api/conversations/{conversation}", {"title": "mine now"}),
        ("DELETE", f"/api/conversations/{conversation}", None),
        ("POST", f"/api/conversations/{conversation}/messages", {"content": "hi", "client_id": "c1"}),
        ("GET", f"/api/conversations/{conversation}/events?after=0", None),
        ("POST", f"/api/messages/{message}/stop", None),
        ("POST", f"/api/messages/{before['messages'][0]['id']}/stop", None),
    ]
    absent = [(m, p.replace(conversation, "0" * 32).replace(message, "0" * 32), b) for m, p, b in foreign[:6]]
    for method, path, body in foreign:
        response = await app.other.request(method, path, json=body)
        assert response.status_code == 404, (method, path)
    for method, path, body in absent:
        assert (await app.client.request(method, path, json=body)).status_code == 404
    assert (await app.other.get("/api/conversations")).json() == {"conversations": []}
    assert await app.look(conversation) == before
    assert app.backend.num_running == 1
    gate.open()
    await app.events(conversation)
    assert (await app.look(conversation))["messages"][1]["status"] == "complete"


async def test_the_page_when_it_is_not_built(app: App) -> None:
    response = await app.stranger.get("/")
    assert response.status_code == 503
    assert "make web" in response.text


async def test_the_page_and_nothing_but_the_page(app: App, static) -> None:
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>page", encoding="utf-8")
    (static / "assets/app-1a2B_3c4.js").write_text("run()", encoding="utf-8")
    (static / "assets/theme.js").write_text("set()", encoding="utf-8")
    (static / "icon.svg").write_text("<svg/>", encoding="utf-8")
    page = await app.stranger.get("/")
    assert (page.status_code, page.text, page.headers["cache-control"]) == (200, "<!doctype html>page", "no-cache")
    script = await app.stranger.get("/assets/app-1a2B_3c4.js")
    assert (script.text, "immutable" in script.headers["cache-control"]) == ("run()", True)
    assert "javascript" in script.headers["content-type"]
    theme = await app.stranger.get("/assets/theme.js")
    assert (theme.text, theme.headers["cache-control"]) == ("set()", "no-cache")
    assert (await app.stranger.get("/icon.svg")).status_code == 200
    for path in (
        "/assets/../../bise.db",
        "/assets/%2e%2e/%2e%2e/bise.db",
        "/..%2fbise.db",
        "/assets/",
        "/none",
        "/%00",
    ):
        url = httpx.URL(app.root).copy_with(raw_path=path.encode())
        assert (await app.stranger.get(url)).status_code == 404, path


async def test_health_and_the_api_are_there_too(app: App) -> None:
    assert (await app.stranger.get("/health")).status_code == 200
    assert (await app.stranger.get("/v1/models")).status_code == 401


async def test_deleting_ends_the_answer_and_the_streams(app: App) -> None:
    app.backend.before_word = Gate()
    conversation = await app.begin()
    await app.send(conversation)
    await until(lambda: app.backend.num_running == 1)
    async with app.client.stream("GET", f"/api/conversations/{conversation}/events") as stream:
        assert (await app.client.delete(f"/api/conversations/{conversation}")).status_code == 204
        received = b"".join([piece async for piece in stream.aiter_bytes()])
    assert b"event: done" in received
    assert app.backend.num_running == 0
