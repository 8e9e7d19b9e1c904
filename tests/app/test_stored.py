"""What is kept is told in numbers; erasing all leaves nothing of it in any file, and a receipt that says what and when."""

import hashlib
import json

from bise.store.accounts import local_owner
from bise.store.audit import list_audit
from bise.store.tables import metadata
from tests.app.conftest import App
from tests.store.test_deleted import found

CONFIRM = {"confirm": "erase everything"}
CANARY = "canary-of-what-was-said"


async def test_what_is_kept_is_counted(app: App) -> None:
    conversation = await app.begin()
    said = await app.answered(conversation, "äöü 🦆")
    await app.client.put(f"/api/messages/{said['messages'][1]['id']}/rating", json={"thumb": "up"})
    await app.client.delete(f"/api/conversations/{await app.begin()}")
    told = (await app.client.get("/api/stored")).json()
    holdings = told["holdings"]
    assert (holdings["conversations"], holdings["deleted_conversations"], holdings["messages"]) == (1, 1, 2)
    assert (holdings["ratings"], holdings["better_answers"], holdings["sessions"]) == (1, 0, 1)
    assert holdings["text_bytes"] == sum(len(each["content"].encode()) for each in said["messages"])
    assert (told["kept_days"], told["database"], told["num_copies"]) == (30, "sqlite", 0)
    assert told["place"] == str(app.home / "bise.db")
    other = (await app.other.get("/api/stored")).json()
    assert other["place"] is None
    assert other["holdings"]["messages"] == 0


async def test_nothing_of_it_is_in_any_file_afterwards_and_others_keep_theirs(app: App) -> None:
    other = (await app.other.post("/api/conversations", json={})).json()["id"]
    await app.other.post(f"/api/conversations/{other}/messages", json={"content": "lasting-words", "client_id": "c"})
    kept, deleted = await app.begin(), await app.begin()
    for each in (kept, deleted):
        said = await app.answered(each, f"{CANARY} " * 10)
        answer = said["messages"][1]["id"]
        await app.client.put(f"/api/messages/{answer}/better", json={"content": f"{CANARY} better " * 400})
        await app.client.put(f"/api/messages/{answer}/rating", json={"thumb": "down", "comment": CANARY})
        await app.client.patch(f"/api/conversations/{each}", json={"title": f"{CANARY} title"})
    await app.client.delete(f"/api/conversations/{deleted}")
    record = {
        "format": "bise-conversation",
        "version": 1,
        "id": "c",
        "title": CANARY,
        "messages": [],
        "created_at": CANARY,
    }
    await app.client.post("/api/import", content=json.dumps(record).encode())
    owner = (await local_owner(app.database)).id
    await app.imports.ended(owner)
    run, directory = app.home / "runs/tune/feedback-1", app.home / "learning" / owner
    for each in (run, directory):
        each.mkdir(parents=True)
        (each / "words.jsonl").write_text(CANARY)
    attempt = {"model": "scripted", "name": "feedback-1", "started_at": "2026-01-01", "pid": 1}
    (directory / "attempt.json").write_text(json.dumps(attempt))
    assert found(app.home, CANARY.encode())

    for wrong in ({}, {"confirm": "erase"}, {"confirm": True}):
        assert (await app.client.post("/api/erase", json=wrong)).status_code == 400
    assert (await app.stranger.post("/api/erase", json=CONFIRM)).status_code == 401
    assert len((await app.client.get("/api/conversations")).json()["conversations"]) == 1

    response = await app.client.post("/api/erase", json=CONFIRM)
    assert response.status_code == 200, response.text
    assert CANARY not in response.text
    assert found(app.home, CANARY.encode()) == []
    assert found(app.home, b"lasting-words")
    receipt = response.json()["receipt"]
    assert receipt["erased"]["conversations"] == receipt["erased"]["deleted_conversations"] == 1
    assert (receipt["erased"]["messages"], receipt["erased"]["ratings"], receipt["erased"]["better_answers"]) == (
        4,
        2,
        2,
    )
    text = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert response.json()["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    logged = (await list_audit(app.database, 1))[0]
    assert (logged.action, logged.details["receipt_sha256"]) == ("data.erase", response.json()["sha256"])
    assert (await app.client.get("/api/import")).json() == {"import": None}
    assert (await app.client.get("/api/conversations")).json() == {"conversations": []}
    assert len((await app.other.get("/api/conversations")).json()["conversations"]) == 1
    assert (await app.answered(await app.begin(), "And on."))["messages"][0]["content"] == "And on."


async def test_an_answer_in_the_making_is_erased_too(app: App) -> None:
    conversation = await app.begin()
    await app.answered(conversation, "Hello")
    await app.send(conversation, "Again", "c2")
    assert (await app.client.post("/api/erase", json=CONFIRM)).json()["receipt"]["erased"]["messages"] == 4
    async with app.database.read() as connection:
        assert (await connection.execute(metadata.tables["messages"].select())).all() == []


async def test_copies_made_before_upgrades_are_counted(app: App) -> None:
    (app.home / "bise.db.20260101-000000.0001.backup").touch()
    assert (await app.client.get("/api/stored")).json()["num_copies"] == 1
    assert (await app.client.post("/api/erase", json=CONFIRM)).json()["num_copies"] == 1
