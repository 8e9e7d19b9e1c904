"""No other name, no other page: what a browser could be tricked into sending is refused before anything reads it."""

import httpx
import pytest

from bise.server.guard import Names, refuse
from tests.server.conftest import Served

PROXIED = Names(is_open=True, host="127.0.0.1", url="https://Chat.example:8443")
LISTENING = Names(is_open=True, host="box.lan")


@pytest.mark.parametrize(
    "host", ["bise.example", "bise.example:8421", "127.0.0.1.evil.example", "", "localhost.evil", "10.0.0.1", "[::2]:1"]
)
async def test_other_names_are_not_answered(direct: Served, host: str) -> None:
    response = await direct.client.get("/v1/models", headers={"host": host})
    assert response.status_code == 421
    assert "the address bise printed" in response.json()["error"]["message"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8421", "LOCALHOST", "[::1]:8421", "127.0.0.2:1"])
async def test_the_names_of_loopback_are_answered(direct: Served, host: str) -> None:
    assert (await direct.client.get("/v1/models", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://evil.example", "http://127.0.0.1:3000", "https://127.0.0.1", "http://localhost", ""]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
async def test_pages_of_other_origins_are_refused(direct: Served, origin: str, method: str) -> None:
    response = await direct.client.request(method, "/v1/chat/completions", headers={"origin": origin})
    assert response.status_code == 403


async def test_our_own_page_may_ask(direct: Served) -> None:
    assert (await direct.client.get("/v1/models", headers={"origin": "http://127.0.0.1"})).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nothing"])
async def test_every_answer_tells_the_browser_to_be_strict(served: Served, path: str) -> None:
    async with httpx.AsyncClient(base_url=served.root) as client:
        headers = (await client.get(path)).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
    assert "'unsafe-inline'" not in headers["content-security-policy"].replace("style-src-attr 'unsafe-inline'", "")
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert "server" not in headers


async def test_a_length_that_is_no_number_is_refused(direct: Served) -> None:
    response = await direct.client.post("/v1/chat/completions", headers={"content-length": "-1"})
    assert response.status_code == 400


def asked(names: Names, host: str, origin: str | None = None) -> int:
    """The status of a refusal, or 200."""
    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin is not None else [])
    refusal = refuse({"type": "http", "scheme": "http", "headers": headers}, names)
    return 200 if refusal is None else refusal.status


@pytest.mark.parametrize(
    ("names", "host", "origin", "status"),
    [
        (PROXIED, "chat.example:8443", "https://chat.example:8443", 200),
        (PROXIED, "chat.example", None, 200),
        (PROXIED, "127.0.0.1:8421", "https://chat.example:8443", 200),
        (PROXIED, "chat.example:8443", "https://chat.example", 403),
        (PROXIED, "chat.example:8443", "https://evil.example", 403),
        (PROXIED, "evil.example", None, 421),
        (PROXIED, "chat.example.evil.example", None, 421),
        (LISTENING, "box.lan:8421", "http://box.lan:8421", 200),
        (LISTENING, "192.168.0.7:8421", "http://192.168.0.7:8421", 200),
        (LISTENING, "[2001:db8::1]:8421", None, 200),
        (LISTENING, "192.168.0.7:8421", "http://192.168.0.8:8421", 403),
        (LISTENING, "evil.example", None, 421),
        (LISTENING, "", None, 421),
        (Names(), "192.168.0.7", None, 421),
    ],
)
def test_a_server_for_others_answers_to_its_names_and_to_bare_addresses(
    names: Names, host: str, origin: str | None, status: int
) -> None:
    assert asked(names, host, origin) == status
