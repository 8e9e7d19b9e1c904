"""Projects and pins, as the page asks for them."""

import pytest

from tests.app.conftest import App

pytestmark = pytest.mark.slow


async def test_a_project_from_beginning_to_end(app: App) -> None:
    made = await app.client.post("/api/folders", json={"name": "Winds", "instructions": "Answer in verse."})
    assert made.status_code == 201
    folder = made.json()["id"]
    conversation = await app.begin()
    path = f"/api/conversations/{conversation}"
    assert (await app.client.put(f"{path}/folder", json={"folder_id": folder})).status_code == 204
    assert (await app.client.put(f"{path}/pin", json={"pinned": True})).status_code == 204
    shown = await app.answered(conversation)
    assert (shown["folder_id"], shown["pinned"]) == (folder, True)
    sent = app.backend.requests[-1].conversation.messages
    assert [(message.role, message.content) for message in sent] == [("system", "Answer in verse."), ("user", "Hello")]
    changed = await app.client.put(f"/api/folders/{folder}", json={"name": "Gales", "instructions": ""})
    assert changed.json() == {"id": folder, "name": "Gales", "instructions": ""}
    assert (await app.client.get("/api/folders")).json() == {"folders": [changed.json()]}
    assert (await app.client.delete(f"/api/folders/{folder}")).status_code == 204
    assert (await app.look(conversation))["folder_id"] is None
    assert (await app.client.put(f"{path}/folder", json={"folder_id": folder})).status_code == 404


async def test_a_project_that_cannot_be_is_refused_with_a_sentence(app: App) -> None:
    for body, words in (
        ({"name": " "}, "empty"),
        ({"name": "x" * 101}, "at most 100"),
        ({"name": "x", "instructions": "y" * 8001}, "at most 8000"),
        ({"name": "x", "instructions": "y\0"}, "NUL"),
        ({"instructions": "y"}, "name"),
    ):
        response = await app.client.post("/api/folders", json=body)
        assert response.status_code == 400
        assert words in response.json()["error"]["message"]
    assert (await app.client.get("/api/folders")).json() == {"folders": []}
