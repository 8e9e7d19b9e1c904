"""Every route x everybody who may come x ids of others: whatever is not theirs does not exist, and nothing changes.

The routes come from the application itself: whoever adds one is asked here what it takes, and cannot forget to protect it.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from bise.app.generation import Generations
from bise.app.learning import Learning
from bise.app.session import Entrance
from bise.app.start import create_app
from bise.server.admission import Admission
from bise.store.accounts import User, create_user, disable_user, start_session
from bise.store.conversations import create_conversation
from bise.store.database import Database, open_database
from bise.store.deleted import delete_conversation
from bise.store.feedback import Rating, list_feedback, prefer_answer, rate_answer
from bise.store.folders import create_folder
from bise.store.keys import Grant, create_key, revoke_key
from bise.store.sessions import list_sessions
from bise.store.shares import create_share
from bise.store.tables import metadata, users
from tests.imitated_tune import imitated_command
from tests.scripted_backend import ScriptedBackend
from tests.store.talk import Talk

DOOR = {"/enter", "/api/door", "/api/sign-in", "/api/first-run", "/api/sign-up"}
DOOR |= {"/oidc/{provider}/start", "/oidc/{provider}/callback"}
OPEN = {"/health", "/ready", "/", "/share", "/shared", "/assets/{name:path}", "/{name}"} | DOOR
# What a route takes beside the ids in its path; "mine" and "theirs" stand for ids of messages.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/api/conversations/{conversation_id}"): {"title": "theirs now"},
    ("POST", "/api/conversations/{conversation_id}/messages"): {"content": "x", "client_id": "c9"},
    ("POST", "/api/conversations/{conversation_id}/answers"): {"instead_of": "mine", "client_id": "c9"},
    ("PUT", "/api/conversations/{conversation_id}/shown"): {"message_id": "mine"},
    ("PUT", "/api/conversations/{conversation_id}/settings"): {"system_prompt": "theirs"},
    ("PUT", "/api/messages/{message_id}/rating"): {"thumb": "up"},
    ("PUT", "/api/messages/{message_id}/better"): {"content": "x"},
    ("PUT", "/api/messages/{message_id}/preference"): {"other_id": "mine", "verdict": "this"},
    ("PATCH", "/api/feedback/{item_id}"): {"excluded": True},
    ("PUT", "/api/folders/{folder_id}"): {"name": "theirs now"},
    ("PUT", "/api/conversations/{conversation_id}/folder"): {"folder_id": None},
    ("PUT", "/api/conversations/{conversation_id}/pin"): {"pinned": True},
}
BODILESS = {"/shares", "/stop", "/continue", "/events", "/restore"}


@dataclass
class House:
    """Two people with everything that can be owned, an admin, and their ways in."""

    app: FastAPI
    database: Database
    client: httpx.AsyncClient
    ids: dict[str, str]  # of what belongs to ada
    mine: dict[str, str]  # of what belongs to bob
    cookies: dict[str, dict[str, str]]
    keys: dict[str, str]

    def routes(self) -> list[tuple[str, str]]:
        found = [route for route in _flat(self.app.routes) if isinstance(route, APIRoute)]
        return sorted((method, route.path) for route in found for method in route.methods or ())

    async def contents(self) -> str:
        """Everything in the database but what was counted."""
        async with self.database.read() as connection:
            kept = [table for table in metadata.sorted_tables if table.name not in ("usage", "audit")]
            return repr([sorted(map(str, await connection.execute(table.select()))) for table in kept])


def _flat(routes: Any) -> list[Any]:
    """Routes of routers that are held as they were included, and of those that were copied."""
    inside = [getattr(route, "original_router", None) for route in routes]
    return [
        each
        for route, router in zip(routes, inside, strict=True)
        for each in (_flat(router.routes) if router else [route])
    ]


async def _own(database: Database, user: User) -> dict[str, str]:
    talk = Talk(database, user.id, (await create_conversation(database, user.id)).id)
    first = await talk.ask("Hello", "Good day!")
    second = await talk.again(first.assistant_message.id, "Grüezi!")
    answers = (first.assistant_message.id, second.assistant_message.id)
    await rate_answer(database, user.id, answers[0], Rating("up", None, None))
    await prefer_answer(database, user.id, answers[0], answers[1], "this")
    item = (await list_feedback(database, user.id))[0]
    session = (await list_sessions(database, user.id, await start_session(database, user)))[0]
    owned = {"conversation_id": talk.id, "message_id": answers[1], "item_id": item.id, "answer": answers[0]}
    owned |= {"session_id": session.id}
    folder = await create_folder(database, user.id, "A project", "Its instructions")
    owned["share_id"] = (await create_share(database, user, talk.id))[0].id
    return owned | {"deleted_id": (await _deleted(database, user))["conversation_id"], "folder_id": folder.id}


async def _deleted(database: Database, user: User) -> dict[str, str]:
    """Ids of a conversation that its owner deleted."""
    talk = Talk(database, user.id, (await create_conversation(database, user.id)).id)
    turn = await talk.ask("Forget this", "Forgotten")
    await rate_answer(database, user.id, turn.assistant_message.id, Rating("up", None, None))
    item = (await list_feedback(database, user.id))[-1]
    await delete_conversation(database, user.id, talk.id)
    answer = turn.assistant_message.id
    return {"conversation_id": talk.id, "message_id": answer, "item_id": item.id, "answer": answer}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    database = await open_database(f"sqlite:///{tmp_path / 'bise.db'}")
    admission = Admission(ScriptedBackend(), database)
    generations, entrance = Generations(database, admission), Entrance(None, 8421)
    learning = Learning(imitated_command(tmp_path), modules=())
    application: Any = create_app(admission, database, generations, entrance, learning, tmp_path / "static")
    ada, bob = await create_user(database, "ada"), await create_user(database, "bob")
    root, gone = await create_user(database, "root", "admin"), await create_user(database, "gone")
    ids, mine = await _own(database, ada), await _own(database, bob)
    people = {"user": bob, "admin": root, "disabled": gone}
    cookies = {name: {entrance.cookie_name: await start_session(database, user)} for name, user in people.items()}
    keys = {"disabled": (await create_key(database, gone, "k"))[1], "user": (await create_key(database, bob, "k"))[1]}
    revoked, keys["revoked"] = await create_key(database, bob, "k")
    await revoke_key(database, bob, revoked.prefix)
    _, keys["metrics"] = await create_key(database, bob, "k", Grant(scopes=("metrics",)))
    await disable_user(database, "gone", True)
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        yield House(application._app, database, client, ids, mine, cookies, keys)
    await generations.close()
    await admission.meter.close()
    await database.close()


def fill(path: str, ids: dict[str, str]) -> str:
    names = {"model_id": "scripted", "deployment": "scripted", "name": "x"}
    names |= dict.fromkeys(("provider", "person", "invitation", "model"), "x")
    return path.replace(":path", "").format(**(names | ids))


async def test_there_are_routes_of_every_kind(house: House) -> None:
    paths = {path for _, path in house.routes()}
    assert paths >= OPEN
    assert len([path for path in paths if path.startswith("/api/")]) > 15
    assert len([path for path in paths if not path.startswith("/api/")]) > 20


async def test_nobody_comes_in_anywhere_but_where_everybody_may(house: House) -> None:
    """Not without a key, nor with one that is wrong, revoked, of somebody shut out, or for the other kind of door."""
    before = await house.contents()
    keys = [{}, *({"authorization": f"Bearer {key}"} for key in ("x", house.keys["revoked"], house.keys["disabled"]))]
    no_keys = [*keys, *({"cookie": "; ".join(f"{n}={v}" for n, v in c.items())} for c in house.cookies.values())]
    no_cookies = [
        *keys,
        {"authorization": f"Bearer {house.keys['user']}"},
        {"cookie": "; ".join(f"{n}={v}" for n, v in house.cookies["disabled"].items())},
    ]
    for method, path in house.routes():
        if path in OPEN:
            continue
        for headers in no_cookies if path.startswith("/api/") else no_keys:
            response = await house.client.request(method, fill(path, house.mine), content="{", headers=headers)
            assert response.status_code == 401, (method, path, headers)
            assert response.json()["error"]["message"]
    assert await house.contents() == before


async def test_a_key_without_the_scope_does_nothing(house: House) -> None:
    for method, path in house.routes():
        if path.startswith("/api/") or path in OPEN or method != "POST" or "tokenize" in path:
            continue
        headers = {"x-api-key": house.keys["metrics"]}
        response = await house.client.request(method, fill(path, {}), content="{", headers=headers)
        assert response.status_code == 403, (method, path)


@pytest.mark.parametrize("role", ["user", "admin"])
async def test_what_belongs_to_another_does_not_exist_for_anybody(house: House, role: str) -> None:
    """Not even for an admin; and nothing of it changes."""
    before, num_tried = await house.contents(), 0
    house.client.cookies.update(house.cookies[role])
    for method, path in house.routes():
        if "_id}" not in path or not path.startswith("/api/"):
            continue
        body = BODIES.get((method, path.replace("/api/temporary/", "/api/")))
        assert body is not None or method in ("GET", "DELETE") or path.endswith(tuple(BODILESS)), (
            f"say in BODIES what {method} {path} takes"
        )
        for own in (house.ids, house.ids | {"answer": house.mine["answer"]}):
            content = json.dumps(body or {}).replace("mine", own["answer"])
            response = await house.client.request(method, fill(path, house.ids), content=content)
            assert response.status_code == 404, (method, path, response.text)
            num_tried += 1
    assert num_tried > 20
    assert await house.contents() == before


async def test_ids_of_others_inside_one_s_own_are_looked_at_again(house: House) -> None:
    before, num_tried = await house.contents(), 0
    house.client.cookies.update(house.cookies["user"])
    for (method, path), body in BODIES.items():
        if "mine" not in body.values():
            continue
        content = json.dumps(body).replace("mine", house.ids["answer"])
        response = await house.client.request(method, fill(path, house.mine), content=content)
        assert response.status_code == 404, (method, path, response.text)
        num_tried += 1
    response = await house.client.post(
        f"/api/conversations/{house.mine['conversation_id']}/messages",
        json={"content": "x", "client_id": "c9", "instead_of": house.ids["answer"]},
    )
    assert response.status_code == 404
    assert num_tried == 3
    assert await house.contents() == before


async def test_what_was_deleted_does_not_exist_for_its_owner_either(house: House) -> None:
    """Save among the deleted: every other route says so, and changes nothing."""
    async with house.database.read() as connection:
        bob = User((await connection.execute(users.select().where(users.c.name == "bob"))).one().id, "bob")
    ids, num_tried = await _deleted(house.database, bob), 0
    before = await house.contents()
    house.client.cookies.update(house.cookies["user"])
    for method, path in house.routes():
        if not path.startswith("/api/") or not any(f"{{{name}}}" in path for name in ids):
            continue
        content = json.dumps(BODIES.get((method, path.replace("/api/temporary/", "/api/"))) or {}).replace(
            "mine", ids["answer"]
        )
        response = await house.client.request(method, fill(path, ids), content=content)
        assert response.status_code == 404, (method, path, response.text)
        num_tried += 1
    for method, path in house.routes():
        if method == "GET" and path.startswith("/api/") and "{" not in path and path != "/api/deleted":
            text = (await house.client.get(path)).text
            assert not any(gone in text for gone in ids.values()), path
    assert num_tried > 12
    assert await house.contents() == before


async def test_what_is_for_admins_is_for_nobody_else(house: House) -> None:
    before, num_tried = await house.contents(), 0
    house.client.cookies.update(house.cookies["user"])
    for method, path in house.routes():
        if path.startswith("/api/admin/"):
            response = await house.client.request(method, fill(path, house.ids), content="{}")
            assert (response.status_code, response.json()["error"]["code"]) == (403, "role"), (method, path)
            num_tried += 1
    assert num_tried > 10
    assert await house.contents() == before


async def test_only_admins_start_what_changes_models_for_everybody(house: House) -> None:
    house.client.cookies.update(house.cookies["user"])
    assert (await house.client.post("/api/learning")).status_code == 403


async def test_a_browser_s_lists_hold_its_own_things_only(house: House) -> None:
    house.client.cookies.update(house.cookies["user"])
    for method, path in house.routes():
        if method == "GET" and path.startswith("/api/") and "{" not in path:
            text = (await house.client.get(path)).text
            assert not any(theirs in text for theirs in house.ids.values()), path
