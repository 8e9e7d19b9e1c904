"""The admins' page from its server's side: what it changes, what it shows, and that no conversation is near it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from bise.app.pulling import Pulling, Wanted, pull_command
from bise.app.session import Entrance
from bise.errors import InputError
from bise.store.accounts import create_user, find_user
from bise.store.conversations import create_conversation
from bise.store.database import Database
from bise.store.tables import now
from bise.store.usage import Counts, UsageKey, add_usage
from tests.app.accounts_app import House, open_house
from tests.store.talk import Talk


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database, Entrance(None, 8421, sign_up="invited"), tmp_path) as opened:
        await opened.give_password(await create_user(database, "root", "admin"))
        await opened.give_password(await create_user(database, "ada"))
        yield opened


@pytest.fixture
async def root(house: House) -> httpx.AsyncClient:
    return await house.signed_in("root")


async def id_of(house: House, name: str) -> str:
    return (await find_user(house.database, name)).id


async def test_people_are_invited_changed_and_shut_out(house: House, root: httpx.AsyncClient) -> None:
    token = (await root.post("/api/admin/invitations", json={"uses": 2})).json()["token"]
    listed = (await root.get("/api/admin/people")).json()
    assert ([each["uses_left"] for each in listed["invitations"]], listed["sign_up"]) == ([2], "invited")
    zoe = house.browser()
    body = {"name": "zoe", "password": "four words of hers", "invitation": token}
    assert (await zoe.post("/api/sign-up", json=body)).status_code == 204
    assert (await root.delete(f"/api/admin/invitations/{listed['invitations'][0]['id']}")).status_code == 204
    response = await house.browser().post("/api/sign-up", json=body | {"name": "max"})
    assert response.status_code == 400

    path = f"/api/admin/people/{await id_of(house, 'zoe')}"
    assert (await zoe.get("/api/admin/people")).status_code == 403
    assert (await root.patch(path, json={"role": "admin"})).status_code == 204
    assert (await zoe.get("/api/admin/people")).status_code == 200
    assert (await root.patch(path, json={"role": "user", "disabled": True})).status_code == 204
    assert (await zoe.get("/api/state")).status_code == 401
    assert (await root.patch(path, json={"disabled": False})).status_code == 204
    link = (await root.post(f"{path}/link")).json()["token"]
    again = house.browser()
    assert (await again.post("/enter", content=f"token={link}")).status_code == 303
    assert (await again.get("/api/state")).json()["user"]["name"] == "zoe"
    for wrong in ({"role": "god"}, {"disabled": "x"}, []):
        assert (await root.patch(path, json=wrong)).status_code == 400
    assert (await root.patch(f"/api/admin/people/{'0' * 32}", json={"role": "admin"})).status_code == 404
    assert (await root.post("/api/admin/people/x/link")).status_code == 404
    own = f"/api/admin/people/{await id_of(house, 'root')}"
    assert (await root.patch(own, json={"disabled": True})).status_code == 400


async def test_limits_bind_at_once_and_are_taken_away(house: House, root: httpx.AsyncClient) -> None:
    nothing = dict.fromkeys(("requests_per_s", "tokens_per_min", "tokens_per_month", "tokens_total", "parallel"))
    wanted = nothing | {"subject": "user:ada", "tokens_total": 1}
    assert (await root.put("/api/admin/limits", json=wanted)).json() == wanted
    assert (await root.get("/api/admin/limits")).json() == {"limits": [wanted]}
    ada = await house.signed_in("ada")
    chat = (await ada.post("/api/conversations", json={})).json()["id"]
    await ada.post(f"/api/conversations/{chat}/messages", json={"content": "Hello", "client_id": "1"})
    for _ in range(200):
        answer = (await ada.get(f"/api/conversations/{chat}")).json()["messages"][-1]
        if answer["status"] != "generating":
            break
        await asyncio.sleep(0.02)
    assert (answer["status"], "tokens" in answer["error"]) == ("failed", True), answer
    assert (await root.put("/api/admin/limits", json=nothing | {"subject": "user:ada"})).status_code == 200
    assert (await root.get("/api/admin/limits")).json() == {"limits": []}
    for wrong in (
        {"subject": "user:nobody"},
        {"subject": "x"},
        {"parallel": 0},
        {"parallel": 2**70},
        {"tokens_total": -1},
    ):
        response = await root.put("/api/admin/limits", json=wanted | wrong)
        assert response.status_code in (400, 404), wrong


async def test_admins_read_counts_and_the_log_and_never_what_was_said(house: House, root: httpx.AsyncClient) -> None:
    ada = await id_of(house, "ada")
    talk = Talk(house.database, ada, (await create_conversation(house.database, ada)).id)
    await talk.ask("my deepest secret", "kept between us")
    await add_usage(house.database, [(UsageKey(now().date(), ada, "", "", "m"), Counts(1, 20, 30))])
    told = ""
    for path in ("people", "limits", "usage?by=day", "usage?by=user", "usage?by=model", "audit", "models"):
        response = await root.get(f"/api/admin/{path}")
        assert response.status_code == 200, path
        told += response.text
    assert not any(secret in told for secret in ("deepest", "between us", talk.id))
    people = {each["name"]: each for each in (await root.get("/api/admin/people")).json()["people"]}
    assert (people["ada"]["num_tokens"], people["ada"]["num_requests"]) == (50, 1)
    (row,) = (await root.get("/api/admin/usage?by=user")).json()["rows"]
    assert row == {"user": "ada", "num_requests": 1, "num_prompt_tokens": 20, "num_completion_tokens": 30}
    assert (await root.get("/api/admin/usage?by=key")).status_code in (400, 422)
    await root.post("/api/admin/invitations", json={})
    entries = (await root.get("/api/admin/audit?words=Invit")).json()["entries"]
    assert [(entry["actor"], entry["action"]) for entry in entries] == [("root", "invitation.add")]
    assert (await root.get("/api/admin/audit?words=%25%00")).json() == {"entries": []}


SLOW = "import sys, time; print('Fetching x: 40 %, about 1 min left', file=sys.stderr, flush=True); time.sleep(60)"
FAILS = "import sys; sys.exit('bise: There is no such repository.')"


async def _until(pulling: Pulling, status: str) -> dict[str, object]:
    for _ in range(500):
        shown = pulling.show()
        if shown is not None and shown["status"] == status and (status != "running" or shown["line"]):
            return shown
        await asyncio.sleep(0.02)
    raise AssertionError(pulling.show())


async def test_a_model_is_taken_in_followed_cancelled_and_noted(house: House, root: httpx.AsyncClient) -> None:
    code = SLOW
    house.state.pulling = Pulling(lambda _wanted: (sys.executable, "-c", code))
    body = {"source": "hf:owner/name", "name": "small", "bits": "4"}
    assert (await root.get("/api/admin/models")).json()["pull"] is None
    assert (await root.post("/api/admin/models", json=body)).status_code == 204
    assert (await _until(house.state.pulling, "running"))["percent"] == 40
    assert (await root.post("/api/admin/models", json=body)).status_code == 409
    assert (await root.post("/api/admin/models/cancel")).status_code == 204
    await _until(house.state.pulling, "cancelled")
    code = FAILS
    assert (await root.post("/api/admin/models", json=body)).status_code == 204
    assert (await _until(house.state.pulling, "failed"))["line"] == "There is no such repository."
    code = "pass"
    await root.post("/api/admin/models", json=body)
    await _until(house.state.pulling, "finished")
    for wrong in ({"source": "/etc/passwd"}, {"source": "--found"}, {"name": "../x"}, {"name": ""}, {"bits": "3"}):
        assert (await root.post("/api/admin/models", json=body | wrong)).status_code == 400, wrong
    entries = (await root.get("/api/admin/audit?words=model.pull")).json()["entries"]
    assert {entry["actor"] for entry in entries} == {"root"}


async def test_a_pull_whose_program_cannot_be_started_has_failed(house: House, root: httpx.AsyncClient) -> None:
    program = "/nowhere/python"
    house.state.pulling = Pulling(lambda _wanted: (program, "-c", "pass"))
    body = {"source": "hf:owner/name", "name": "small"}
    assert (await root.post("/api/admin/models", json=body)).status_code == 204
    shown = (await root.get("/api/admin/models")).json()["pull"]
    assert (shown["status"], shown["percent"]) == ("failed", None)
    assert shown["line"].startswith("/nowhere/python cannot be started: No such file or directory.")
    program = sys.executable
    assert (await root.post("/api/admin/models", json=body)).status_code == 204
    await _until(house.state.pulling, "finished")


async def test_removing_a_model(house: House, root: httpx.AsyncClient) -> None:
    assert (await root.delete("/api/admin/models/scripted")).status_code == 409
    assert (await root.delete("/api/admin/models/none-such")).status_code == 404
    assert (await root.delete("/api/admin/models/..")).status_code in (400, 404, 405)


def test_what_is_asked_for_stays_what_it_is() -> None:
    assert pull_command(Wanted("hf:a/b", "x", "8"))[-4:] == ("--name=x", "--bits=8", "--", "hf:a/b")
    for source in ("hf:a\nb", "", "file.gguf", "hf:\0"):
        with pytest.raises(InputError, match="must be one of hf:"):
            Wanted(source, "x")
