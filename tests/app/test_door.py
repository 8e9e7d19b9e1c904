"""Signing in by password, sessions, the first admin and new accounts: who comes in, and above all who does not."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from bise.app.attempts import MAX_BY_ACCOUNT, MAX_BY_ADDRESS, MAX_BY_BOTH, WINDOW_S, Attempts
from bise.app.passwords import MAX_WAITING, Passwords
from bise.app.session import Entrance
from bise.errors import UnavailableError
from bise.server.errors import ApiError
from bise.store.accounts import create_user, disable_user, find_user, list_users, local_owner
from bise.store.audit import list_audit
from bise.store.database import Database
from bise.store.signing_up import create_first_admin, create_invitation
from bise.store.tables import invitations, now, sessions
from tests.app.accounts_app import PASSWORD, House, open_house

LATER = "another four words"


@pytest.fixture
async def house(database: Database, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(database, Entrance(None, 8421, sign_up="invited"), tmp_path) as opened:
        await opened.give_password(await create_user(database, "ada", "admin"))
        await create_user(database, "bob")
        yield opened


async def test_a_password_opens_its_account_and_no_other(house: House) -> None:
    browser = house.browser()
    for name, password in (("ada", "x"), ("bob", ""), ("bob", PASSWORD), ("eve", PASSWORD), ("ada\0", PASSWORD)):
        response = await browser.post("/api/sign-in", json={"name": name, "password": password})
        assert response.status_code == 401
        assert "set-cookie" not in response.headers
    assert (await browser.get("/api/state")).status_code == 401
    browser = await house.signed_in("ada")
    state = (await browser.get("/api/state")).json()
    assert (state["user"], state["accounts"]) == ({"name": "ada", "role": "admin"}, True)


async def test_a_refusal_tells_nothing_about_accounts(house: House) -> None:
    """Not by its words, nor by whether a hash was compared, nor by when it stops answering."""
    await disable_user(house.database, "bob", True)
    answers = []
    for name in ("ada", "bob", "eve"):
        browser = house.browser(f"10.0.0.{len(name + str(answers)) % 200}")
        answers.append(
            [
                (response.status_code, re.sub(r"\d+", "N", response.text))
                for _ in range(MAX_BY_BOTH + 1)
                for response in [await browser.post("/api/sign-in", json={"name": name, "password": "wrong"})]
            ]
        )
    assert answers[0] == answers[1] == answers[2]
    assert [status for status, _ in answers[0]] == [401] * MAX_BY_BOTH + [429]


async def test_too_many_attempts_wait_and_other_addresses_do_not(house: House) -> None:
    guesser = house.browser("203.0.113.9")
    body = {"name": "ada", "password": "wrong"}
    last = [await guesser.post("/api/sign-in", json=body) for _ in range(MAX_BY_BOTH + 1)][-1]
    assert last.status_code == 429
    assert 0 < int(last.headers["retry-after"]) <= WINDOW_S
    right = {"name": "ada", "password": PASSWORD}
    assert (await guesser.post("/api/sign-in", json=right)).status_code == 429
    assert (await house.browser("203.0.113.10").post("/api/sign-in", json=right)).status_code == 204


def test_bounds_hold_for_accounts_and_addresses_and_end_with_the_window() -> None:
    time = 0.0
    attempts = Attempts(lambda: time)
    for number in range(MAX_BY_ADDRESS):
        attempts.begin(f"name{number}", "one")
    with pytest.raises(ApiError, match="Try again in 15 minutes"):
        attempts.begin("new", "one")
    for number in range(MAX_BY_ACCOUNT):
        attempts.begin("Ada", f"address{number}")
    with pytest.raises(ApiError):
        attempts.begin("ada", "elsewhere")
    time = WINDOW_S + 1.0
    attempts.begin("ada", "one")
    for _ in range(MAX_BY_ADDRESS * 2):  # who succeeds is not counted
        attempts.begin("bob", "two")
        attempts.succeed("bob", "two")


async def test_an_address_is_believed_of_a_proxy_nearby_only(house: House) -> None:
    for is_behind, forwarded, peer, shut_out in (
        (True, "9.9.9.9, 8.8.8.8", "127.0.0.1", False),
        (False, "9.9.9.9, 8.8.8.8", "127.0.0.1", True),
        (True, "9.9.9.9, nonsense", "127.0.0.1", True),
        (True, "9.9.9.9, 8.8.8.8", "8.8.4.4", True),
    ):
        house.entrance.attempts = Attempts()
        house.entrance.url = "http://127.0.0.1" if is_behind else ""
        for _ in range(MAX_BY_BOTH):
            await house.browser(peer).post("/api/sign-in", json={"name": "ada", "password": "x"})
        browser = house.browser(peer, **{"x-forwarded-for": forwarded})
        response = await browser.post("/api/sign-in", json={"name": "ada", "password": PASSWORD})
        assert response.status_code == (429 if shut_out else 204), (is_behind, forwarded, peer)


async def test_a_change_of_password_ends_all_other_sessions_and_links(house: House) -> None:
    here, there = await house.signed_in("ada"), await house.signed_in("ada")
    before = dict(here.cookies)
    for current, new, status in (("wrong", LATER, 403), (PASSWORD, "short", 400), (PASSWORD, "aaaaaaaaaaaaaaaa", 400)):
        response = await here.put("/api/account/password", json={"current": current, "new": new})
        assert response.status_code == status
        assert (await there.get("/api/state")).status_code == 200
    response = await here.put("/api/account/password", json={"current": PASSWORD, "new": LATER})
    assert response.status_code == 204
    assert dict(here.cookies) != before
    assert (await here.get("/api/state")).status_code == 200
    assert (await there.get("/api/state")).status_code == 401
    stale = house.browser()
    stale.cookies.update(before)
    assert (await stale.get("/api/state")).status_code == 401
    await house.signed_in("ada", LATER)
    response = await house.browser().post("/api/sign-in", json={"name": "ada", "password": PASSWORD})
    assert response.status_code == 401


async def test_a_browser_signs_in_with_a_new_secret_each_time_and_signs_out(house: House) -> None:
    browser = await house.signed_in("ada")
    first = dict(browser.cookies)
    await browser.post("/api/sign-in", json={"name": "ada", "password": PASSWORD})
    assert dict(browser.cookies) != first
    fixed = house.browser()
    fixed.cookies.update(first)
    assert (await fixed.get("/api/state")).status_code == 401  # the session from before was ended
    second = dict(browser.cookies)
    assert (await browser.post("/api/sign-out")).status_code == 204
    assert not browser.cookies
    browser.cookies.update(second)
    assert (await browser.get("/api/state")).status_code == 401


async def test_sessions_are_listed_and_ended_by_their_owner_alone(house: House) -> None:
    await house.give_password(await find_user(house.database, "bob"))
    here, there, bob = [await house.signed_in(name) for name in ("ada", "ada", "bob")]
    there.headers["user-agent"] = "Firefox/150"
    account = (await here.get("/api/account")).json()
    assert (account["name"], account["role"], account["has_password"]) == ("ada", "admin", True)
    assert sorted(session["is_current"] for session in account["sessions"]) == [False, True]
    other = next(session for session in account["sessions"] if not session["is_current"])
    assert (await bob.delete(f"/api/account/sessions/{other['id']}")).status_code == 404
    assert (await there.get("/api/state")).status_code == 200
    assert (await here.delete(f"/api/account/sessions/{other['id']}")).status_code == 204
    assert (await there.get("/api/state")).status_code == 401
    assert (await here.delete(f"/api/account/sessions/{other['id']}")).status_code == 404


async def test_with_age_a_session_gets_a_new_secret_and_the_old_one_goes_within_a_minute(house: House) -> None:
    browser, tab = await house.signed_in("ada"), house.browser()
    tab.cookies.update(dict(browser.cookies))
    assert "set-cookie" not in (await browser.get("/api/state")).headers
    await _age(house.database, timedelta(days=2))
    assert "set-cookie" in (await browser.get("/api/state")).headers
    assert dict(browser.cookies) != dict(tab.cookies)
    response = await tab.get("/api/state")  # was on its way
    assert (response.status_code, response.headers.get("set-cookie")) == (200, None)
    await _age(house.database, timedelta(seconds=61))
    assert (await tab.get("/api/state")).status_code == 401
    assert (await browser.get("/api/state")).status_code == 200


async def _age(database: Database, by: timedelta) -> None:
    async with database.write() as connection:
        await connection.execute(sessions.update().values(renewed_at=now() - by, seen_at=now() - by))


async def test_cookies_are_for_this_server_s_pages_over_tls_alone(database: Database, tmp_path: Path) -> None:
    async with open_house(database, Entrance(None, 8421, url="https://127.0.0.1"), tmp_path) as house:
        await house.give_password(await create_user(database, "ada"))
        response = await house.browser().post("/api/sign-in", json={"name": "ada", "password": PASSWORD})
        cookie = response.headers["set-cookie"].lower()
        assert cookie.startswith("__host-bise_session=")
        for word in ("httponly", "secure", "samesite=strict", "path=/"):
            assert word in cookie
        foreign = house.browser(origin="https://evil.example")
        response = await foreign.post("/api/sign-in", json={"name": "ada", "password": PASSWORD})
        assert response.status_code == 403


async def test_hashing_is_bounded_and_never_stops_the_loop() -> None:
    passwords = Passwords()
    hashed = await passwords.hash(PASSWORD)
    assert hashed.startswith("$argon2id$")
    assert not passwords.is_outdated(hashed)
    ticks, checks = 0, [asyncio.create_task(passwords.check(PASSWORD, hashed)) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="Too many people"):
        await passwords.hash(PASSWORD)
    while not all(check.done() for check in checks):
        await asyncio.sleep(0.01)
        ticks += 1
    assert all(check.result() for check in checks)
    assert ticks > 10
    assert not await passwords.check("other", hashed)
    assert not await passwords.check("nobody's", None)


async def test_on_loopback_there_are_no_accounts(database: Database, tmp_path: Path) -> None:
    entrance = Entrance(await local_owner(database), 8421)
    async with open_house(database, entrance, tmp_path) as house:
        browser = house.browser()
        assert (await browser.get("/api/door")).json()["accounts"] is False
        for path in ("sign-in", "sign-up", "first-run"):
            assert (await browser.post(f"/api/{path}", json={})).status_code == 404
        await browser.get(f"/enter?token={entrance.token}")
        response = await browser.put("/api/account/password", json={"new": PASSWORD})
        assert response.status_code == 404


async def test_the_first_admin_is_made_with_the_code_of_the_terminal_once(database: Database, tmp_path: Path) -> None:
    entrance = Entrance(None, 8421)
    code = entrance.new_setup_code()
    async with open_house(database, entrance, tmp_path) as house:
        browser = house.browser()
        assert (await browser.get("/api/door")).json()["first_run"] is True
        body = {"name": "ada", "password": PASSWORD, "code": code}
        for change in ({"code": ""}, {"code": code[:-1]}, {"password": "short"}, {"name": " "}, {"name": "Owner"}):
            assert (await browser.post("/api/first-run", json=body | change)).status_code in (400, 403)
        assert await list_users(database) == ()
        assert (await browser.post("/api/first-run", json=body | {"code": f" {code.lower()}"})).status_code == 204
        assert (await browser.get("/api/state")).json()["user"] == {"name": "ada", "role": "admin"}
        assert (await browser.get("/api/door")).json()["first_run"] is False
        for again in (code, ""):
            response = await house.browser().post("/api/first-run", json=body | {"name": "eve", "code": again})
            assert response.status_code == 403
        assert [entry.actor for entry in await list_audit(database, 9)] == ["the first-run page"]


async def test_where_an_admin_is_no_second_first_one_is_made(database: Database) -> None:
    await local_owner(database)
    await create_first_admin(database, "ada", "hash")
    with pytest.raises(Exception, match="There is an admin already"):
        await create_first_admin(database, "eve", "hash")


@pytest.mark.parametrize(
    ("mode", "without", "with_one"), [("off", 403, 403), ("invited", 403, 204), ("open", 204, 204)]
)
async def test_new_accounts_as_the_settings_say(
    house: House, mode: Literal["off", "invited", "open"], without: int, with_one: int
) -> None:
    house.entrance.sign_up = mode
    _, token = await create_invitation(house.database)
    for name, invitation, status in (("eve", "", without), ("zoe", token, with_one), ("max", "wrong", 400)):
        body = {"name": name, "password": PASSWORD, "invitation": invitation}
        browser = house.browser()
        response = await browser.post("/api/sign-up", json=body)
        assert response.status_code == (403 if mode == "off" else status), (name, response.text)
        assert (await browser.get("/api/state")).status_code == (200 if response.status_code == 204 else 401)
    names = {user.name for user in await list_users(house.database)}
    assert names == {"ada", "bob", *(["eve"] if without == 204 else []), *(["zoe"] if with_one == 204 else [])}


async def test_an_invitation_is_counted_ends_and_is_not_spent_by_a_mistake(house: House) -> None:
    _, token = await create_invitation(house.database, role="admin", uses=2)
    body = {"password": PASSWORD, "invitation": token}

    async def come(name: str) -> int:
        return (await house.browser().post("/api/sign-up", json=body | {"name": name})).status_code

    assert await come("ada") == 400  # taken
    assert await come("owner") == 400
    assert await come("one") == 204
    assert (await find_user(house.database, "one")).role == "admin"
    assert sorted(await asyncio.gather(come("two"), come("three"))) == [204, 400]
    _, body["invitation"] = await create_invitation(house.database)
    async with house.database.write() as connection:
        await connection.execute(invitations.update().values(expires_at=now()))
    assert await come("four") == 400


async def test_sign_up_is_bounded_by_address(house: House) -> None:
    house.entrance.sign_up = "open"
    statuses = [
        (await house.browser().post("/api/sign-up", json={"name": "ada", "password": PASSWORD})).status_code
        for _ in range(MAX_BY_BOTH + 1)
    ]
    assert statuses == [400] * MAX_BY_BOTH + [429]


async def test_who_is_invited_comes_in_however_many_share_an_address_and_guesses_still_end(house: House) -> None:
    _, token = await create_invitation(house.database, uses=MAX_BY_BOTH + 5)

    async def come(name: str, invitation: str = token, password: str = PASSWORD) -> int:
        body = {"name": name, "password": password, "invitation": invitation}
        return (await house.browser().post("/api/sign-up", json=body)).status_code

    assert [await come(f"one{number}") for number in range(MAX_BY_BOTH + 2)] == [204] * (MAX_BY_BOTH + 2)
    assert [await come("weak", password="short") for _ in range(MAX_BY_BOTH + 1)] == [400] * (MAX_BY_BOTH + 1)
    for number in range(MAX_BY_BOTH):  # an account made between two guesses does not start their count anew
        assert await come("eve", invitation=f"guess{number}") == 400
        assert number != 5 or await come("somebody") == 204
    assert await come("eve", invitation="guess") == 429
    assert await come("late") == 429
