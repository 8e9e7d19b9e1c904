"""One browser comes in by the printed address, once; without the cookie nothing under /api answers."""

import httpx
import pytest

from bise.app.feedback import router as feedback_router
from bise.app.learning_routes import router as learning_router
from bise.app.provenance_routes import router as provenance_router
from bise.app.routes import router
from tests.app.conftest import PORT, App

pytestmark = pytest.mark.slow

API = [
    ("GET", "/api/state"),
    ("GET", "/api/conversations"),
    ("POST", "/api/conversations"),
    ("GET", "/api/conversations/{c}"),
    ("PATCH", "/api/conversations/{c}"),
    ("DELETE", "/api/conversations/{c}"),
    ("POST", "/api/conversations/{c}/messages"),
    ("GET", "/api/conversations/{c}/events"),
    ("POST", "/api/conversations/{c}/answers"),
    ("PUT", "/api/conversations/{c}/shown"),
    ("POST", "/api/messages/{m}/stop"),
    ("POST", "/api/messages/{m}/continue"),
    ("PUT", "/api/messages/{m}/rating"),
    ("DELETE", "/api/messages/{m}/rating"),
    ("PUT", "/api/messages/{m}/better"),
    ("DELETE", "/api/messages/{m}/better"),
    ("PUT", "/api/messages/{m}/preference"),
    ("PUT", "/api/settings"),
    ("GET", "/api/feedback"),
    ("PATCH", "/api/feedback/{i}"),
    ("GET", "/api/feedback.jsonl"),
    ("GET", "/api/messages/{m}/trace"),
    ("GET", "/api/lineage"),
    ("GET", "/api/learning"),
    ("POST", "/api/learning"),
    ("POST", "/api/learning/cancel"),
    ("POST", "/api/learning/keep"),
    ("POST", "/api/learning/back"),
    ("POST", "/api/learning/discard"),
]


async def test_the_token_works_once_and_becomes_a_cookie_that_scripts_cannot_read(app: App) -> None:
    address = f"/enter?token={app.entrance.token}"
    response = await app.stranger.get(address)
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert cookie.startswith(f"bise_session_{PORT}=")
    assert (await app.stranger.get("/api/state")).status_code == 200
    async with httpx.AsyncClient(base_url=app.root) as second:
        response = await second.get(address)
        assert response.status_code == 403
        assert "Start <code>bise</code> again" in response.text
        assert (await second.get("/api/state")).status_code == 401
    assert (await app.stranger.get(address)).status_code == 303  # this browser is in already


async def test_a_wrong_token_opens_nothing_and_spends_nothing(app: App) -> None:
    for token in ("", "wrong", "é", "%00", "%ff"):
        response = await app.stranger.get(f"/enter?token={token}")
        assert response.status_code == 403
        assert "set-cookie" not in response.headers
    assert (await app.stranger.get(f"/enter?token={app.entrance.token}")).status_code == 303


async def test_every_route_of_the_page_is_in_the_list(app: App) -> None:
    names = {"c": "{conversation_id}", "m": "{message_id}", "i": "{item_id}"}
    known = {(method, path.format(**names)) for method, path in API}
    routes = [
        route
        for each in (router, feedback_router, learning_router, provenance_router)
        for route in each.routes
        if route.path != "/enter"
    ]
    assert {(method, route.path) for route in routes for method in route.methods} == known


@pytest.mark.parametrize("cookie", [None, "wrong", ""])
async def test_without_a_valid_cookie_there_is_nothing(app: App, cookie: str | None) -> None:
    conversation = await app.begin()
    message = (await app.answered(conversation))["messages"][1]["id"]
    before = await app.look(conversation)
    if cookie is not None:
        app.stranger.cookies.set(app.entrance.cookie_name, cookie)
    for method, path in API:
        response = await app.stranger.request(
            method, path.format(c=conversation, m=message, i="0" * 32), content="{not json"
        )
        assert response.status_code == 401, path
        assert "address that bise printed" in response.json()["error"]["message"]
    assert await app.look(conversation) == before


async def test_the_page_needs_no_key_and_a_key_opens_no_page(app: App) -> None:
    assert (await app.client.get("/v1/models")).status_code == 401
    for path in ("/api/state", "/api/conversations"):
        assert (await app.stranger.get(path, headers={"authorization": "Bearer x"})).status_code == 401


async def test_foreign_hosts_and_origins_are_refused_even_with_the_cookie(app: App) -> None:
    assert (await app.client.get("/api/state", headers={"host": "evil.example"})).status_code == 421
    for method, path in (("POST", "/api/conversations"), ("GET", "/api/state")):
        response = await app.client.request(method, path, headers={"origin": "http://evil.example"})
        assert response.status_code == 403
    assert (await app.client.get("/api/conversations")).json() == {"conversations": []}
    assert (await app.client.post("/api/conversations", json={}, headers={"origin": app.root})).status_code == 201
