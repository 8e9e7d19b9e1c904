"""A link shows what was shared, as it was, to whoever has it, and nothing else; taken back, it shows nothing."""

import re
from dataclasses import replace

import pytest

from bise.store.audit import list_audit
from bise.store.tables import shares
from tests.app.conftest import App
from tests.store.test_deleted import found


async def shared(app: App, token: str) -> tuple[int, dict]:
    response = await app.stranger.get("/shared", headers={"x-bise-share": token})
    assert response.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    if response.status_code == 200:
        assert "noindex" in response.headers["x-robots-tag"]
        assert response.headers["cache-control"] == "no-store"
    return response.status_code, response.json()


async def share(app: App, conversation: str) -> dict:
    response = await app.client.post(f"/api/conversations/{conversation}/shares")
    assert response.status_code == 201, response.text
    return response.json()


async def test_a_link_shows_what_was_shared_as_it_was(app: App) -> None:
    conversation = await app.begin()
    before = await app.answered(conversation, "Hello")
    made = await share(app, conversation)
    answer = before["messages"][1]
    await app.client.put(f"/api/messages/{answer['id']}/better", json={"content": "Better"})
    await app.answered(conversation, "Later", "c2")
    await app.client.patch(f"/api/conversations/{conversation}", json={"title": "Renamed"})
    status, told = await shared(app, made["token"])
    assert status == 200
    assert (told["title"], told["created_at"]) == ("Hello", made["created_at"])
    assert told["messages"] == [
        {"role": "user", "content": "Hello", "model": None, "edited": False},
        {"role": "assistant", "content": answer["content"], "model": answer["model"], "edited": False},
    ]
    again = await shared(app, (await share(app, conversation))["token"])
    assert again[1]["messages"][1] == {
        "role": "assistant",
        "content": "Better",
        "model": answer["model"],
        "edited": True,
    }
    assert "owner" not in str(told)


async def test_only_a_hash_is_kept_and_no_guess_opens_anything(app: App) -> None:
    conversation = await app.begin()
    await app.answered(conversation)
    made = await share(app, conversation)
    assert re.fullmatch(r"[\w-]{43}", made["token"])
    assert found(app.home, made["token"].encode()) == []
    async with app.database.read() as connection:
        kept = (await connection.execute(shares.select())).one().token_sha256
    for guess in (
        "",
        "x",
        kept,
        made["id"],
        made["token"][:-1],
        made["token"] + "x",
        "\udcff".encode("latin-1", "replace").decode(),
    ):
        assert (await shared(app, guess))[0] == 404
    assert (await app.stranger.get("/shared")).status_code == 404


@pytest.mark.parametrize("way", ["revoke", "delete", "erase"])
async def test_a_link_ends_when_it_is_taken_back_or_its_conversation_goes(app: App, way: str) -> None:
    conversation = await app.begin()
    await app.answered(conversation, "canary-in-a-link")
    made = await share(app, conversation)
    (listed,) = (await app.client.get("/api/shares")).json()["shares"]
    assert listed == {name: value for name, value in made.items() if name != "token"}
    assert (await app.other.get("/api/shares")).json()["shares"] == []
    assert (await app.other.delete(f"/api/shares/{made['id']}")).status_code == 404
    if way == "revoke":
        assert (await app.client.delete(f"/api/shares/{made['id']}")).status_code == 204
        assert [entry.action for entry in await list_audit(app.database, 2)] == ["share.create", "share.revoke"]
    elif way == "delete":
        await app.client.delete(f"/api/conversations/{conversation}")
    else:
        await app.client.post("/api/erase", json={"confirm": "erase everything"})
        assert found(app.home, b"canary-in-a-link") == []
    assert (await shared(app, made["token"]))[0] == 404
    assert (await app.client.get("/api/shares")).json()["shares"] == []
    if way == "delete":
        await app.client.post(f"/api/deleted/{conversation}/restore")
        assert (await shared(app, made["token"]))[0] == 200


async def test_nothing_is_shared_while_there_is_nothing_or_where_links_are_off(app: App) -> None:
    empty = await app.begin()
    assert (await app.client.post(f"/api/conversations/{empty}/shares")).status_code == 400
    await app.answered(empty)
    token = (await share(app, empty))["token"]
    assert (await app.other.post(f"/api/conversations/{empty}/shares")).status_code == 404
    admission = app.generations._admission
    admission.settings = replace(admission.settings, share_links=False)
    assert (await app.client.post(f"/api/conversations/{empty}/shares")).status_code == 403
    assert (await shared(app, token))[0] == 403
    assert (await app.client.get("/api/shares")).json()["allowed"] is False
