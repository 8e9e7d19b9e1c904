"""A temporary conversation is a conversation in every respect but one: nothing of it is anywhere but in memory."""

import logging
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bise.app import temporary
from bise.server.request_log import RequestLog
from bise.store.tables import now
from tests.app.conftest import App
from tests.scripted_backend import Gate

pytestmark = pytest.mark.slow
CANARY = "zephyr-canary-7391"
ROOT = "/api/temporary"


async def begin(app: App) -> str:
    response = await app.client.post(f"{ROOT}/conversations", json={})
    assert response.status_code == 201, response.text
    return response.json()["id"]


async def ask(app: App, conversation: str, content: str, client_id: str = "c1") -> dict:
    path = f"{ROOT}/conversations/{conversation}"
    after = (await app.client.get(path)).json()["last_event"]
    sent = await app.client.post(f"{path}/messages", json={"content": content, "client_id": client_id})
    assert sent.status_code == 202, sent.text
    received = b""
    async with app.client.stream("GET", f"{path}/events", params={"after": after}) as response:
        async for piece in response.aiter_bytes():
            received += piece
            if b"event: done" in received and received.endswith(b"\n\n"):
                break
    return (await app.client.get(path)).json()


def holding(directory: Path, text: str) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


async def test_nothing_of_it_touches_the_disk(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what is asked nor what is answered: not in the database or its log, nor in any other file or line of log."""
    caplog.set_level(logging.INFO)
    app.backend.words = [CANARY, " says", " the", " wind"]
    conversation = await begin(app)
    shown = await ask(app, conversation, f"What is {CANARY}?")
    assert [CANARY in message["content"] for message in shown["messages"]] == [True, True]
    answer = shown["messages"][1]["id"]
    path = f"{ROOT}/conversations/{conversation}"
    body = {"instead_of": answer, "client_id": "c2"}
    assert (await app.client.post(f"{path}/answers", json=body)).status_code == 202
    await app.client.patch(path, json={"title": f"My {CANARY}"})
    assert holding(app.home, CANARY) == []
    assert CANARY not in caplog.text
    kept = await app.begin()
    await app.answered(kept, f"Now {CANARY} may be kept")
    assert holding(app.home, CANARY)  # the look finds what there is


async def test_the_log_of_requests_holds_prompts_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    """Where the operator has prompts written down, neither passwords nor temporary conversations are."""
    caplog.set_level(logging.INFO, "bise.requests")

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await Response("yes")(scope, receive, send)

    transport = httpx.ASGITransport(RequestLog(answering, with_prompts=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        heard = ("/api/conversations/1/messages", "/v1/chat/completions")
        unheard = (
            f"{ROOT}/conversations/1/messages",
            "/api/sign-in",
            "/api/first-run",
            "/api/account/password",
            "/api/import",
        )
        for path in (*heard, *unheard):
            await client.post(path, content=CANARY)
    lines = [record.getMessage() for record in caplog.records if record.name == "bise.requests"]
    assert [CANARY in line for line in lines] == [True] * len(heard) + [False] * len(unheard)


async def test_it_is_not_found_listed_rated_or_kept_by_others_means(app: App) -> None:
    conversation = await begin(app)
    answer = (await ask(app, conversation, CANARY))["messages"][1]["id"]
    assert (await app.client.get("/api/conversations")).json() == {"conversations": []}
    assert (await app.client.get("/api/search", params={"q": CANARY})).json() == {"hits": []}
    assert (await app.client.get("/api/feedback")).json() == {"items": []}
    for method, path, body in (
        ("GET", f"/api/conversations/{conversation}", None),
        ("PUT", f"/api/messages/{answer}/rating", {"thumb": "up"}),
        ("PUT", f"{ROOT}/messages/{answer}/rating", {"thumb": "up"}),
        ("PUT", f"{ROOT}/messages/{answer}/better", {"content": "x"}),
        ("PUT", f"{ROOT}/conversations/{conversation}/folder", {"folder_id": None}),
        ("GET", f"{ROOT}/search?q={CANARY}", None),
    ):
        assert (await app.client.request(method, path, json=body)).status_code in (404, 405), path
    (listed,) = (await app.client.get(f"{ROOT}/conversations")).json()["conversations"]
    assert listed["id"] == conversation


async def test_it_belongs_to_its_owner_only(app: App) -> None:
    conversation = await begin(app)
    answer = (await ask(app, conversation, CANARY))["messages"][1]["id"]
    for client, status in ((app.other, 404), (app.stranger, 401)):
        for method, path, body in (
            ("GET", f"conversations/{conversation}", None),
            ("PATCH", f"conversations/{conversation}", {"title": "mine now"}),
            ("DELETE", f"conversations/{conversation}", None),
            ("POST", f"conversations/{conversation}/messages", {"content": "hi", "client_id": "c1"}),
            ("GET", f"conversations/{conversation}/events?after=0", None),
            ("POST", f"messages/{answer}/stop", None),
        ):
            assert (await client.request(method, f"{ROOT}/{path}", json=body)).status_code == status, path
    assert (await app.other.get(f"{ROOT}/conversations")).json() == {"conversations": []}
    assert len((await app.client.get(f"{ROOT}/conversations/{conversation}")).json()["messages"]) == 2


async def test_it_is_gone_at_once_or_after_a_while(app: App) -> None:
    chats = app.temporary
    first, second = await begin(app), await begin(app)
    await ask(app, first, "Hello")
    assert (await app.client.delete(f"{ROOT}/conversations/{first}")).status_code == 204
    assert (await app.client.get(f"{ROOT}/conversations/{first}")).status_code == 404
    await chats.sweep(now() + timedelta(hours=temporary.IDLE_HOURS) - timedelta(minutes=1))
    assert (await app.client.get(f"{ROOT}/conversations/{second}")).status_code == 200
    await chats.sweep(now() + timedelta(hours=temporary.IDLE_HOURS))
    assert (await app.client.get(f"{ROOT}/conversations/{second}")).status_code == 404


async def test_memory_is_bounded(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest unused makes room, never one that is being answered; a conversation stops growing with a sentence."""
    made = [await begin(app) for _ in range(temporary.MAX_CHATS + 2)]
    listed = (await app.client.get(f"{ROOT}/conversations")).json()["conversations"]
    assert {each["id"] for each in listed} == set(made[2:])
    app.backend.before_word = Gate()
    body = {"content": "Hello", "client_id": "c1"}
    await app.client.post(f"{ROOT}/conversations/{made[2]}/messages", json=body)
    for _ in range(temporary.MAX_CHATS):
        await begin(app)
    assert (await app.client.get(f"{ROOT}/conversations/{made[2]}")).status_code == 200
    monkeypatch.setattr(temporary, "MAX_CHARS", 5)
    response = await app.client.post(f"{ROOT}/conversations/{made[2]}/messages", json=body)
    assert response.status_code == 400
    assert "Begin another one" in response.json()["error"]["message"]


async def test_stopping_leaves_it_as_usable_as_any(app: App) -> None:
    gate = app.backend.before_word = Gate()
    conversation = await begin(app)
    path = f"{ROOT}/conversations/{conversation}"
    for number in range(3):  # also at the very beginning, while the conversation is being read
        sent = await app.client.post(f"{path}/messages", json={"content": "Hello", "client_id": f"c{number}"})
        message = sent.json()["assistant_message"]["id"]
        assert (await app.client.post(f"{ROOT}/messages/{message}/stop")).status_code == 204
    gate.open()
    shown = await ask(app, conversation, "And now?", "last")
    assert [each["status"] for each in shown["messages"][1::2]] == ["stopped"] * 3 + ["complete"]
