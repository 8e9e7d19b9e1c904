"""Feedback through the page's interface: given, shown with personal data masked, taken along, and taken back."""

import json
from dataclasses import replace

import pytest

from tests.app.conftest import App
from tests.scripted_backend import MODEL

pytestmark = pytest.mark.slow


async def put(app: App, path: str, body: dict) -> None:
    response = await app.client.put(path, json=body)
    assert response.status_code == 204, response.text


async def two_answers(app: App) -> tuple[str, str, str]:
    """A conversation with two answers to one question; its id and theirs."""
    conversation = await app.begin()
    shown = await app.answered(conversation, "Write to ada@example.org")
    first = shown["messages"][1]["id"]
    app.backend.words = ["Call ", "+44 20 7946 0958"]
    body = {"instead_of": first, "client_id": "again"}
    turn = (await app.client.post(f"/api/conversations/{conversation}/answers", json=body)).json()
    await app.events(conversation, shown["last_event"])
    return conversation, first, turn["assistant_message"]["id"]


async def items(app: App) -> list[dict]:
    return (await app.client.get("/api/feedback")).json()["items"]


async def test_what_was_given_is_shown_with_its_message_and_goes_into_the_next_prompt(app: App) -> None:
    conversation, first, second = await two_answers(app)
    await put(app, f"/api/messages/{second}/rating", {"thumb": "down", "reason": "wrong", "comment": "No phone."})
    await put(app, f"/api/messages/{second}/better", {"content": "I will write."})
    await put(app, f"/api/messages/{second}/preference", {"other_id": first, "verdict": "this"})
    answer = (await app.look(conversation))["messages"][1]
    assert answer["rating"] == {"thumb": "down", "reason": "wrong", "comment": "No phone."}
    assert (answer["better"], answer["content"]) == ("I will write.", "Call +44 20 7946 0958")
    assert answer["preferences"] == [{"first_id": first, "second_id": second, "verdict": "second"}]
    await app.answered(conversation, "Thanks", "c2")
    sent = [message.content for message in app.backend.requests[-1].conversation.messages]
    assert sent == ["Write to ada@example.org", "I will write.", "Thanks"]
    assert (await app.client.delete(f"/api/messages/{second}/better")).status_code == 204
    assert (await app.client.delete(f"/api/messages/{second}/rating")).status_code == 204
    await put(app, f"/api/messages/{second}/preference", {"other_id": first, "verdict": None})
    answer = (await app.look(conversation))["messages"][1]
    assert (answer["rating"], answer["better"], answer["preferences"]) == (None, None, [])
    assert await items(app) == []


async def test_the_list_masks_personal_data_and_the_export_gives_what_was_given(app: App) -> None:
    _, first, second = await two_answers(app)
    await put(app, f"/api/messages/{second}/better", {"content": "Mail bob@example.org"})
    await put(app, f"/api/messages/{first}/rating", {"thumb": "up"})
    rating, better = await items(app)
    assert rating["conversation"] == [{"role": "user", "content": "Write to <EMAIL>"}]
    assert better["contacts"] == ["ada@example.org", "+44 20 7946 0958", "bob@example.org"]
    assert (better["answer"], better["better"], better["num_masked"]) == ("Call <PHONE>", "Mail <EMAIL>", 3)
    await app.client.patch(f"/api/feedback/{better['id']}", json={"excluded": True})
    assert [item["excluded"] for item in await items(app)] == [False, True]
    export = await app.client.get("/api/feedback.jsonl")
    assert export.headers["content-disposition"].startswith('attachment; filename="bise-feedback-')
    records = [json.loads(line) for line in export.text.splitlines()]
    assert [(record["kind"], record["excluded"]) for record in records] == [("better_answer", True), ("rating", False)]
    assert records[0]["better"] == "Mail bob@example.org"
    assert records[0]["conversation"] == [{"role": "user", "content": "Write to ada@example.org"}]


async def test_only_what_names_a_right_answer_teaches(app: App) -> None:
    _, first, second = await two_answers(app)
    taught = []
    for path, body in (
        (f"/api/messages/{first}/rating", {"thumb": "down"}),
        (f"/api/messages/{first}/rating", {"thumb": "up"}),
        (f"/api/messages/{first}/better", {"content": "Better."}),
        (f"/api/messages/{first}/preference", {"other_id": second, "verdict": "equal"}),
        (f"/api/messages/{first}/preference", {"other_id": second, "verdict": "other"}),
    ):
        await put(app, path, body)
        taught.append({item["kind"] for item in await items(app) if item["teaches_nothing"] is None})
    better = {"better_answer"}
    assert taught == [set(), {"rating"}, better, better, {*better, "preference"}]
    app.backend.offered = [replace(MODEL, id="another"), MODEL]
    assert {item["teaches_nothing"] for item in await items(app)} == {"other_model"}


async def test_what_is_no_feedback_is_refused_with_a_sentence(app: App) -> None:
    conversation, first, second = await two_answers(app)
    question = (await app.look(conversation))["messages"][0]["id"]
    for path, body in (
        (f"/api/messages/{first}/rating", {"thumb": "sideways"}),
        (f"/api/messages/{first}/rating", {"thumb": "up", "reason": "wrong"}),
        (f"/api/messages/{first}/rating", {"thumb": "up", "reason": "because"}),
        (f"/api/messages/{first}/rating", {"thumb": "up", "comment": "x" * 3000}),
        (f"/api/messages/{question}/rating", {"thumb": "up"}),
        (f"/api/messages/{first}/better", {"content": " "}),
        (f"/api/messages/{first}/better", {"content": "a\0b"}),
        (f"/api/messages/{first}/preference", {"other_id": first, "verdict": "this"}),
        (f"/api/messages/{first}/preference", {"other_id": second, "verdict": "neither"}),
    ):
        response = await app.client.put(path, json=body)
        assert response.status_code == 400, (path, body)
        assert response.json()["error"]["message"]
    assert await items(app) == []


async def test_nothing_of_somebody_else_can_be_judged_seen_or_taken(app: App) -> None:
    _, first, second = await two_answers(app)
    await put(app, f"/api/messages/{first}/rating", {"thumb": "up"})
    before = await items(app)
    for method, path, body in (
        ("PUT", f"/api/messages/{first}/rating", {"thumb": "down"}),
        ("DELETE", f"/api/messages/{first}/rating", None),
        ("PUT", f"/api/messages/{first}/better", {"content": "theirs"}),
        ("DELETE", f"/api/messages/{first}/better", None),
        ("PUT", f"/api/messages/{first}/preference", {"other_id": second, "verdict": "this"}),
        ("PATCH", f"/api/feedback/{before[0]['id']}", {"excluded": True}),
    ):
        assert (await app.other.request(method, path, json=body)).status_code == 404, path
    assert (await app.other.get("/api/feedback")).json() == {"items": []}
    assert (await app.other.get("/api/feedback.jsonl")).text == ""
    assert (await app.stranger.get("/api/feedback.jsonl")).status_code == 401
    assert await items(app) == before
