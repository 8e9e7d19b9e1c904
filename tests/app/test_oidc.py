"""Signing in at a real provider: who comes in as whom, and everything that must be refused."""

import json
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.errors import JoseError

from bise.app.oidc import PENDING_S, Pending, Provider, SingleSignOn
from bise.app.session import Entrance
from bise.config import load_recipe
from bise.errors import InputError
from bise.server.settings import OidcProvider, ServerSettings
from bise.store.accounts import create_user, disable_user, list_users
from bise.store.database import Database
from bise.store.signing_up import create_invitation
from tests.app.accounts_app import House, open_house
from tests.app.oidc_provider import running_provider, say_no, say_yes

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the provider


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with running_provider() as running:
        yield running


class Clock:
    ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def house(database: Database, tmp_path: Path, issuer: str, clock: Clock) -> AsyncIterator[House]:
    secret = tmp_path / "secret"
    secret.write_text("the:secret%\n", encoding="utf-8")
    providers = (
        OidcProvider("mock", "Mock", issuer, "bise", client_secret_file=secret, domains=("example.org",)),
        OidcProvider("second", "Second", issuer, "another-client"),
    )
    entrance = Entrance(None, 8421, sign_up="open", sign_on=SingleSignOn(providers, clock))
    async with open_house(database, entrance, tmp_path) as opened:
        yield opened


async def go(browser: httpx.AsyncClient, start: str = "/oidc/mock/start") -> str:
    """Begin; where the browser is sent."""
    response = await browser.get(start)
    assert response.status_code == 303, response.text
    return response.headers["location"]


async def arrive(browser: httpx.AsyncClient, location: str) -> str:
    """Come back; where the page goes then."""
    response = await browser.get(location)
    assert response.status_code == 303, response.text
    return response.headers["location"]


async def come_in(house: House, subject: str, start: str = "/oidc/mock/start", **claims: object) -> str:
    """The name under which a subject is then in, or why not."""
    browser = house.browser()
    end = await arrive(browser, say_yes(await go(browser, start), subject, **claims))
    if end != "/":
        return end.removeprefix("/?oidc=")
    return (await browser.get("/api/state")).json()["user"]["name"]


async def test_somebody_comes_in_by_a_provider_and_is_the_same_next_time(house: House) -> None:
    browser = house.browser()
    address = await go(browser)
    asked = parse_qs(urlsplit(address).query)
    assert asked["redirect_uri"] == ["http://127.0.0.1/oidc/mock/callback"]
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["scope"] == ["openid profile email"]
    response = await browser.get(say_yes(address, "1", preferred_username="ada"))
    assert response.headers["location"] == "/"
    cookies = [cookie.lower() for cookie in response.headers.get_list("set-cookie")]
    assert any(cookie.startswith("bise_session_8421=") and "samesite=strict" in cookie for cookie in cookies)
    assert (await browser.get("/api/state")).json()["user"] == {"name": "ada", "role": "user"}
    assert await come_in(house, "1", preferred_username="somebody else now") == "ada"
    assert (await browser.get("/api/door")).json()["providers"][0] == {"id": "mock", "name": "Mock"}


async def test_a_public_client_needs_no_secret(house: House) -> None:
    assert await come_in(house, "7", "/oidc/second/start", name="Grace") == "Grace"


async def test_an_account_is_known_by_its_subject_and_by_nothing_else(house: House) -> None:
    await create_user(house.database, "ada", "admin")
    claims = {"preferred_username": "ada", "email": "ada@example.org", "email_verified": True}
    assert await come_in(house, "2", **claims) == "ada 2"
    assert await come_in(house, "3", **claims) == "ada 3"
    assert await come_in(house, "4", preferred_username="Owner") == "Owner 2"
    assert await come_in(house, "5", name="\u202e\n") == "user"


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ({"email": "zoe@example.org", "email_verified": True}, "zoe"),
        ({"email": "zoe@EXAMPLE.org", "email_verified": True}, "zoe"),
        ({"email": "zoe@example.org"}, "unknown"),
        ({"email": "zoe@example.org", "email_verified": False}, "unknown"),
        ({"email": "zoe@example.org", "email_verified": "true"}, "unknown"),
        ({"email": "zoe@evil.org", "email_verified": True}, "unknown"),
        ({"email": "zoe@evil.org@example.org", "email_verified": True}, "unknown"),
    ],
)
async def test_only_a_verified_address_of_a_domain_lets_somebody_new_in(
    house: House, claims: dict[str, object], outcome: str
) -> None:
    house.entrance.sign_up = "off"
    assert await come_in(house, f"domain {json.dumps(claims)}", **claims) == outcome


async def test_an_invitation_counts_at_a_provider_unless_sign_up_is_off(house: House) -> None:
    _, token = await create_invitation(house.database, role="admin")
    start = f"/oidc/mock/start?invitation={token}"
    house.entrance.sign_up = "off"
    assert await come_in(house, "11", start, name="eve") == "unknown"
    house.entrance.sign_up = "invited"
    assert await come_in(house, "11", name="eve") == "unknown"
    assert await come_in(house, "11", start, name="eve") == "eve"
    assert await come_in(house, "12", start, name="max") == "invitation"
    assert [(user.name, user.role) for user in await list_users(house.database)] == [("eve", "admin")]


async def test_a_disabled_account_stays_shut(house: House) -> None:
    assert await come_in(house, "21", name="gone") == "gone"
    await disable_user(house.database, "gone", True)
    assert await come_in(house, "21", name="gone") == "unknown"


async def test_whoever_is_in_links_an_account_and_ends_that(house: House) -> None:
    await house.give_password(await create_user(house.database, "ada"))
    ada, stranger = await house.signed_in("ada"), house.browser()
    assert await go(stranger, "/oidc/mock/start?link=true") == "/?oidc=not_signed_in"
    link = "/oidc/mock/start?link=true"
    assert await arrive(ada, say_yes(await go(ada, link), "31", name="other")) == "/#account"
    assert [each["is_linked"] for each in (await ada.get("/api/account")).json()["providers"]] == [True, True]
    assert await come_in(house, "31") == "ada"
    await house.give_password(await create_user(house.database, "bob"))
    bob = await house.signed_in("bob")
    assert await arrive(bob, say_yes(await go(bob, link), "31")) == "/?oidc=taken#account"
    assert (await bob.delete("/api/account/identities/mock")).status_code == 404
    assert (await ada.delete("/api/account/identities/mock")).status_code == 204
    house.entrance.sign_up = "off"
    assert await come_in(house, "31") == "unknown"


async def test_the_last_way_in_stays(house: House) -> None:
    browser = house.browser()
    await arrive(browser, say_yes(await go(browser), "41", name="only"))
    response = await browser.delete("/api/account/identities/mock")
    assert response.status_code == 400
    assert "Set a password first" in response.json()["error"]["message"]


async def test_what_is_replayed_mixed_up_or_too_late_is_refused(house: House, clock: Clock) -> None:
    browser, other = house.browser(), house.browser()
    back = say_yes(await go(browser), "51", name="victim")
    assert await arrive(other, back) == "/?oidc=expired"  # a browser that did not begin it; the state is spent
    assert await arrive(browser, back) == "/?oidc=expired"

    back = say_yes(await go(browser), "51")
    assert await arrive(browser, back) == "/"
    assert await arrive(browser, back) == "/?oidc=expired"  # state and code again
    code = parse_qs(urlsplit(back).query)["code"][0]
    state = parse_qs(urlsplit(await go(browser)).query)["state"][0]
    assert await arrive(browser, f"/oidc/mock/callback?code={code}&state={state}") == "/?oidc=failed"  # the code alone

    back = say_yes(await go(browser), "51")
    assert await arrive(browser, back.replace("/mock/", "/second/")) == "/?oidc=expired"
    back = say_yes(await go(browser), "51")
    assert await arrive(browser, back + "&iss=https://evil.example") == "/?oidc=refused"
    no = say_no(await go(browser))
    assert "state=" not in no, "this provider says no without it"
    assert await arrive(browser, no) == "/?oidc=refused"
    assert await arrive(browser, "/oidc/mock/callback?error=access_denied&state=unknown") == "/?oidc=expired"
    back = say_yes(await go(browser), "51")
    clock.ahead = PENDING_S + 1
    assert await arrive(browser, back) == "/?oidc=expired"


@pytest.mark.parametrize("change", [{"nonce": "another"}, {"verifier": "another" * 9}, {"redirect_uri": "http://x/"}])
async def test_a_wrong_nonce_verifier_or_address_lets_nobody_in(house: House, change: dict[str, str]) -> None:
    browser = house.browser()
    back = say_yes(await go(browser), "61", name="nobody")
    sign_on = house.entrance.sign_on
    ((state, pending),) = sign_on._pending.items()
    sign_on._pending[state] = replace(pending, **change)
    assert await arrive(browser, back) == "/?oidc=failed"
    assert await list_users(house.database) == ()


async def _id_token(issuer: str, client_id: str, pending: Pending) -> str:
    """A token as the provider made it."""
    provider = Provider(OidcProvider("x", "X", issuer, client_id))
    back = say_yes(await provider.address(pending), "71")
    return (await provider._exchange(pending, parse_qs(urlsplit(back).query)["code"][0]))["id_token"]


async def test_a_token_must_be_ours_fresh_and_signed_by_the_provider(issuer: str, clock: Clock) -> None:
    pending = Pending("x", "http://127.0.0.1/", "", "", time.time() + 60)
    settings = OidcProvider("x", "X", issuer, "bise")
    token = await _id_token(issuer, "bise", pending)
    assert (await Provider(settings).claims(token, pending))["sub"] == "71"
    head, body, signature = token.split(".")
    none = urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    forged = urlsafe_b64encode(b'{"sub":"1"}').decode().rstrip("=")
    wrong = [
        f"{none}.{body}.",
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.",
        "",
        "x",
        f"{none}.{body}.{signature}",
    ]
    for text in (*wrong, await _id_token(issuer, "another-client", pending)):
        with pytest.raises((JoseError, ValueError)):
            await Provider(settings).claims(text, pending)
    with pytest.raises(JoseError, match="nonce"):
        await Provider(settings).claims(token, replace(pending, nonce="another"))
    clock.ahead = 2 * 3600
    with pytest.raises(JoseError, match="expired"):
        await Provider(settings, clock).claims(token, pending)
    with running_provider() as elsewhere, pytest.raises((JoseError, ValueError)):
        await Provider(replace(settings, issuer=elsewhere)).claims(token, pending)


async def test_new_keys_of_the_provider_are_read_when_they_are_met(database: Database, tmp_path: Path) -> None:
    with running_provider() as issuer:
        sign_on = SingleSignOn((OidcProvider("mock", "Mock", issuer, "bise"),))
        entrance = Entrance(None, 8421, sign_up="open", sign_on=sign_on)
    async with open_house(database, entrance, tmp_path) as house:
        browser = house.browser()
        assert await go(browser) == "/?oidc=away"
        for _ in range(2):
            with running_provider(int(issuer.rpartition(":")[2])):
                assert await come_in(house, "81", name="ada") == "ada"


async def test_a_provider_that_is_not_who_it_is_said_to_be_is_not_used(
    database: Database, tmp_path: Path, issuer: str
) -> None:
    alias = issuer.replace("127.0.0.1", "localhost") + "/"  # it calls itself otherwise
    entrance = Entrance(None, 8421, sign_on=SingleSignOn((OidcProvider("mock", "Mock", alias, "bise"),)))
    async with open_house(database, entrance, tmp_path) as house:
        assert await go(house.browser()) == "/?oidc=failed"
        assert (await house.browser().get("/oidc/none/start")).status_code == 404


def test_settings_that_cannot_work_are_told(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    table = '[[oidc]]\nid = "work"\nname = "Work"\nissuer = "https://id.example.org"\nclient_id = "bise"\n'
    file.write_text(table, encoding="utf-8")
    assert load_recipe(file, ServerSettings).oidc[0].name == "Work"
    for wrong, why in (
        (table.replace("https", "http"), "must begin with https"),
        (table.replace('"work"', '"W/x"'), "small letters"),
        (table + table, "the same id"),
    ):
        file.write_text(wrong, encoding="utf-8")
        with pytest.raises(InputError, match=why):
            load_recipe(file, ServerSettings)
    with pytest.raises(InputError, match="secret of work could not be read"):
        Provider(OidcProvider("work", "W", "https://id.example.org", "b", client_secret_file=tmp_path / "none"))
