"""Questions and answers beside each other, answers that go on, and who gives them."""

from dataclasses import replace

import pytest

from tests.app.conftest import App
from tests.scripted_backend import MODEL, Gate

pytestmark = pytest.mark.slow
OTHER = replace(MODEL, id="scripted:mine", card_markdown="# Mine")


def said(shown: dict) -> list[str]:
    return [message["content"] for message in shown["messages"]]


async def post(app: App, path: str, body: dict | None = None) -> dict:
    response = await app.client.post(path, json=body)
    assert response.status_code == 202, response.text
    return response.json()


async def again(app: App, conversation: str, answer: str, client_id: str = "again") -> dict:
    after = (await app.look(conversation))["last_event"]
    body = {"instead_of": answer, "client_id": client_id}
    turn = await post(app, f"/api/conversations/{conversation}/answers", body)
    await app.events(conversation, after)
    return turn


async def test_edit_regenerate_and_go_back(app: App) -> None:
    conversation = await app.begin()
    first = (await app.answered(conversation, "one", "c1"))["messages"]
    await app.answered(conversation, "more", "c2")
    app.backend.words = ["second"]
    turn = await again(app, conversation, first[1]["id"])
    assert turn["user_message"]["id"] == first[0]["id"]
    shown = await app.look(conversation)
    assert said(shown) == ["one", "second"]
    assert shown["messages"][1]["branches"] == [first[1]["id"], turn["assistant_message"]["id"]]
    assert [(m.role, m.content) for m in app.backend.requests[-1].conversation.messages] == [("user", "one")]

    after = shown["last_event"]
    body = {"content": "uno", "client_id": "c3", "instead_of": first[0]["id"]}
    edited = await post(app, f"/api/conversations/{conversation}/messages", body)
    await app.events(conversation, after)
    assert said(await app.look(conversation)) == ["uno", "second"]
    assert edited["user_message"]["branches"] == [first[0]["id"], edited["user_message"]["id"]]
    path = f"/api/conversations/{conversation}/shown"
    back = await app.client.put(path, json={"message_id": first[1]["id"]})
    assert said(back.json())[::2] == ["one", "more"]
    assert back.json() == await app.look(conversation)


async def test_the_same_request_twice_is_one_answer(app: App) -> None:
    conversation = await app.begin()
    answer = (await app.answered(conversation))["messages"][1]["id"]
    first = await again(app, conversation, answer)
    body = {"instead_of": answer, "client_id": "again"}
    second = await post(app, f"/api/conversations/{conversation}/answers", body)
    assert second["assistant_message"]["id"] == first["assistant_message"]["id"]
    assert len(app.backend.requests) == 2


async def test_what_branches_waits_for_the_answer_and_looking_away_is_safe(app: App) -> None:
    conversation = await app.begin()
    first = (await app.answered(conversation))["messages"]
    gate = app.backend.before_word = Gate()
    body = {"instead_of": first[1]["id"], "client_id": "again"}
    await post(app, f"/api/conversations/{conversation}/answers", body)
    refused = await app.client.put(f"/api/conversations/{conversation}/shown", json={"message_id": first[1]["id"]})
    assert refused.status_code == 409
    gate.open()
    await app.events(conversation, 7)
    path = f"/api/conversations/{conversation}/shown"
    assert (await app.client.put(path, json={"message_id": first[1]["id"]})).status_code == 200
    assert (await app.look(conversation))["messages"][1]["id"] == first[1]["id"]  # the latest job's is not shown


async def test_a_stopped_answer_goes_on_after_its_last_word(app: App) -> None:
    gate = app.backend.before_word = Gate()
    gate.open(2)
    conversation = await app.begin()
    message = (await app.send(conversation))["assistant_message"]["id"]
    await app.events(conversation, until=b"jour")
    await app.client.post(f"/api/messages/{message}/stop")
    gate.open()
    app.backend.words = [" et ", "salut"]
    after = (await app.look(conversation))["last_event"]
    reopened = await post(app, f"/api/messages/{message}/continue")
    assert (reopened["assistant_message"]["content"], reopened["assistant_message"]["status"]) == (
        "Bonjour",
        "generating",
    )
    told = await app.events(conversation, after)
    assert b"Bonjour et salut" in told
    assert b'"text":"Bonjour"' not in told
    shown = (await app.look(conversation))["messages"]
    assert (shown[1]["content"], shown[1]["status"], len(shown)) == ("Bonjour et salut", "complete", 2)
    assert app.backend.requests[-1].prefix == "Bonjour"
    refused = await app.client.post(f"/api/messages/{message}/continue")
    assert refused.status_code == 400
    assert "cut short" in refused.json()["error"]["message"]


async def test_each_conversation_has_its_model_and_new_ones_the_default(app: App) -> None:
    app.backend.offered = [MODEL, OTHER]
    first = await app.begin()
    changed = await app.client.patch(f"/api/conversations/{first}", json={"model": OTHER.id})
    assert changed.json()["model"] == OTHER.id
    assert (await app.answered(first))["messages"][1]["model"] == OTHER.id
    second = await app.begin()
    assert (await app.answered(second))["messages"][1]["model"] == MODEL.id
    assert (await app.client.put("/api/settings", json={"default_model": OTHER.id})).status_code == 204
    assert (await app.client.get("/api/state")).json()["default_model"] == OTHER.id
    assert (await app.answered(second, "and now?", "c2"))["messages"][3]["model"] == OTHER.id
    third = (await app.client.post("/api/conversations", json={"model": MODEL.id})).json()["id"]
    assert (await app.answered(third))["messages"][1]["model"] == MODEL.id
    assert [request.model for request in app.backend.requests] == [OTHER.id, MODEL.id, OTHER.id, MODEL.id]


async def test_a_model_elsewhere_says_where_messages_go(app: App) -> None:
    app.backend.offered = [MODEL, replace(MODEL, id="large", owned_by="example-cloud")]
    models = (await app.client.get("/api/state")).json()["models"]
    assert [(model["id"], model["host"]) for model in models] == [("scripted", None), ("large", "example-cloud")]


async def test_a_model_that_is_gone_is_said_and_a_default_that_is_gone_is_none(app: App) -> None:
    app.backend.offered = [MODEL, OTHER]
    conversation = await app.begin()
    await app.client.patch(f"/api/conversations/{conversation}", json={"model": OTHER.id})
    await app.client.put("/api/settings", json={"default_model": OTHER.id})
    app.backend.offered = [MODEL]
    path = f"/api/conversations/{conversation}/messages"
    refused = await app.client.post(path, json={"content": "Hello", "client_id": "c1"})
    assert refused.status_code == 404
    assert "Models on offer: scripted." in refused.json()["error"]["message"]
    assert (await app.look(conversation))["messages"] == []
    assert (await app.client.get("/api/state")).json()["default_model"] == MODEL.id
    assert (await app.answered(await app.begin()))["messages"][1]["model"] == MODEL.id


async def test_unknown_models_and_changes_of_nothing_are_refused(app: App) -> None:
    conversation = await app.begin()
    for method, path, body, status in (
        ("PATCH", f"/api/conversations/{conversation}", {"model": "none"}, 404),
        ("PATCH", f"/api/conversations/{conversation}", {}, 400),
        ("POST", "/api/conversations", {"model": "none"}, 404),
        ("PUT", "/api/settings", {"default_model": "none"}, 404),
        ("PUT", "/api/settings", {}, 400),
    ):
        response = await app.client.request(method, path, json=body)
        assert response.status_code == status, (path, body)
        assert response.json()["error"]["message"]


async def test_nothing_of_somebody_else_branches(app: App) -> None:
    conversation = await app.begin()
    before = await app.answered(conversation)
    question, answer = (message["id"] for message in before["messages"])
    for method, path, body in (
        ("POST", f"/api/conversations/{conversation}/answers", {"instead_of": answer, "client_id": "x"}),
        ("PUT", f"/api/conversations/{conversation}/shown", {"message_id": question}),
        ("POST", f"/api/messages/{answer}/continue", None),
        ("PATCH", f"/api/conversations/{conversation}", {"model": MODEL.id}),
    ):
        assert (await app.other.request(method, path, json=body)).status_code == 404, path
    assert await app.look(conversation) == before
