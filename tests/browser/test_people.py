"""A server with accounts in a real browser: from the first admin's page to signing in elsewhere and out again."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.conftest import Server
from tests.browser.test_access import violations
from tests.command import succeed

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
PASSWORD = "four words of mine"
WORDS = {"en": "Sign in", "fr": "Se connecter", "de": "Anmelden", "es": "Iniciar sesión", "it": "Accedi"}


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(locale="en-GB", viewport={"width": 1200, "height": 800})
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Iterator[Page]:
    """A browser that is not in; afterwards its console holds what refusals put there, and nothing else of ours."""
    opened, console = context.new_page(), []
    opened.on("console", lambda message: console.append(f"{message.location['url']}: {message.text}"))
    opened.on("pageerror", lambda error: console.append(f"error: {error}"))
    opened.goto(server.root)
    yield opened
    # The provider's page has two fields that want the focus, which its console says when it is slow.
    expected = ("Failed to load resource", "/oauth2/authorize")
    assert not [text for text in console if not any(word in text for word in expected)]


def fill(page: Page, **fields: str) -> None:
    for label, text in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).fill(text)


def sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    fill(page, Name=name, Password=password)
    page.get_by_role("button", name="Sign in").click()


def sign_out(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("button", name="Sign out", exact=True).last.click()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_the_first_admin_comes_in_by_keyboard_alone(page: Page, server: Server) -> None:
    expect(page.get_by_role("heading", name="Welcome to your server")).to_be_visible()
    assert violations(page) == []
    expect(page.get_by_label("Code")).to_be_focused()
    for text in ("AAAAA-AAAAA-AAAAA-AAAAA", "ada", PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Make an account")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("This is not the code")
    assert violations(page) == []
    page.get_by_label("Code").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type(server.code.lower())
    page.keyboard.press("Enter")
    expect(page.locator(".welcome")).to_be_visible()
    expect(page.get_by_role("button", name="ada", exact=True)).to_be_visible()


def test_signing_in_elsewhere_changing_the_password_and_signing_out(
    page: Page, server: Server, browser: Browser
) -> None:
    sign_in(page, "ada", "a wrong password")
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
    assert violations(page) == []
    sign_in(page, "ada")
    expect(page.locator(".welcome")).to_be_visible()
    page.get_by_label("Message", exact=True).fill("nobody else may read this")
    elsewhere = browser.new_context(locale="en-GB")
    other = elsewhere.new_page()
    other.goto(server.root)
    sign_in(other, "ada")
    expect(other.locator(".welcome")).to_be_visible()

    page.get_by_role("button", name="ada", exact=True).click()
    rows = page.locator("section", has_text="Where you are signed in").locator(".rows li")
    expect(rows).to_have_count(3)
    assert violations(page) == []
    rows.get_by_role("button").last.click()
    expect(rows).to_have_count(2)
    fill(page, Current_password="wrong", New_password="another four words")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing was changed")
    fill(page, Current_password=PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status").get_by_text("The password is changed.")).to_be_visible()
    expect(rows).to_have_count(1)
    other.evaluate("dispatchEvent(new Event('focus'))")  # somebody comes back to it
    expect(other.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
    elsewhere.close()
    fill(page, Current_password="another four words", New_password=PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("status").get_by_text("The password is changed.")).to_be_visible()

    sign_out(page, "ada")
    assert page.evaluate("JSON.stringify(localStorage)").count("nobody else") == 0
    page.go_back()
    expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()


def test_your_data_names_the_ways_in(page: Page, server: Server) -> None:
    sign_in(page, "ada")
    page.get_by_role("button", name="Your data").click()
    figures = page.locator(".tally").first.locator("div")
    expect(figures.filter(has_text="Browsers signed in").locator("dd")).to_have_text(re.compile("^[1-9]$"))
    for name, count in (("Password, as a fingerprint", "1"), ("Accounts elsewhere", "0")):
        expect(figures.filter(has_text=name).locator("dd")).to_have_text(count)
    assert violations(page) == []


def test_an_invitation_makes_an_account_and_is_then_gone(page: Page, server: Server, monkeypatch: Any) -> None:
    monkeypatch.setenv("BISE_HOME", str(server.home))
    expect(page.get_by_role("button", name="Make an account")).to_have_count(0)
    address = succeed("admin", "users", "invite", "--url", server.root).strip()
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_role("heading", name="Make an account")).to_be_visible()
    assert violations(page) == []
    fill(page, Name="ada", Password="some other words")
    page.get_by_label("Show the password").check()
    assert page.get_by_label("Password", exact=True).get_attribute("type") == "text"
    page.get_by_role("button", name="Make an account").click()
    expect(page.get_by_role("alert")).to_contain_text("There is a user ada already")
    fill(page, Name="bob")
    page.get_by_role("button", name="Make an account").click()
    expect(page.locator(".welcome")).to_be_visible()
    assert "join" not in page.url
    sign_out(page, "bob")
    page.goto("about:blank")
    page.goto(address)
    fill(page, Name="eve", Password="some other words")
    page.get_by_role("button", name="Make an account").click()
    expect(page.get_by_role("alert")).to_contain_text("This invitation is not valid")


def test_an_admin_looks_after_people_limits_models_and_the_log(page: Page, server: Server) -> None:
    sign_in(page, "ada")
    page.get_by_role("button", name="Administration").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Nobody can read another person’s chats.")).to_be_visible()
    people = page.get_by_role("region", name="People", exact=True).locator("tbody tr")
    expect(people).to_have_count(2)
    assert violations(page) == []

    page.get_by_role("button", name="None of their own: bob").click()
    fill(page, Tokens_a_month="5000")
    assert violations(page) == []
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Limited: bob")).to_be_visible()
    page.get_by_role("button", name="Disable: bob").click()
    expect(page.get_by_role("button", name="Enable: bob")).to_be_visible()
    page.get_by_role("button", name="Enable: bob").click()
    page.get_by_label("Role of ada").select_option("user")
    expect(page.get_by_role("alert")).to_contain_text("ada is the only admin")
    expect(page.get_by_label("Role of ada")).to_have_value("admin")
    page.get_by_role("button", name="Invite", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text(f"{server.root}/#join=")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("button", name="Withdraw")).to_have_count(0)

    expect(
        page.get_by_text(re.compile(r"^6\.5 million parameters · 8 bits a weight · .* MB · .* · part of Bise"))
    ).to_be_visible()
    fill(page, Source="ollama:none-such", Name_here="small")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_text("small could not be added.")).to_be_visible(timeout=60_000)
    page.get_by_label("Filter").fill("invitation")
    page.get_by_label("Filter").press("Enter")
    log = page.get_by_role("region", name="Audit log", exact=True).locator("tbody tr")
    expect(log.first).to_contain_text("invitation.withdraw")
    assert violations(page) == []


def test_who_is_no_admin_has_no_administration(page: Page) -> None:
    sign_in(page, "bob", "some other words")
    expect(page.get_by_role("button", name="bob", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Administration")).to_have_count(0)
    page.goto(page.url.partition("#")[0] + "#admin")
    page.reload()
    expect(page.get_by_role("alert").first).to_contain_text("This is for admins")


def test_learning_is_begun_by_admins_and_both_are_told_who_will_find_what_was_learned(page: Page) -> None:
    for name, password, told in (
        ("bob", "some other words", "On this server an admin starts it, because everybody will find"),
        ("ada", PASSWORD, "Everybody on this server will find what was learned among the models."),
    ):
        sign_in(page, name, password)
        page.get_by_role("button", name="Learn from my corrections").click()
        expect(page.get_by_role("region", name="Learn from my corrections")).to_contain_text(told)
        assert violations(page) == []
        sign_out(page, name)


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_account_and_administration_in_every_language_on_a_phone(
    browser: Browser, server: Server, language: str, theme: Any
) -> None:
    context = browser.new_context(locale=language, color_scheme=theme, viewport={"width": 390, "height": 800})
    page = context.new_page()
    page.goto(server.root)
    page.locator("input[autocomplete=username]").fill("ada")
    page.locator("input[autocomplete=current-password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator(".welcome")).to_be_visible()
    for place, ready in (("account", ".rows li"), ("admin", "tbody tr")):
        page.goto(f"{server.root}/#{place}")
        page.reload()
        expect(page.locator(ready).first).to_be_visible()
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()


def test_signing_in_at_a_provider_and_connecting_an_account_to_it(page: Page, server: Server) -> None:
    def at_provider(subject: str) -> None:
        page.locator("input[name=sub]").fill(subject)
        page.locator("button[type=submit], input[type=submit]").first.click()

    page.get_by_role("link", name="Sign in with Mock").click()
    at_provider("somebody")
    expect(page.get_by_role("alert")).to_contain_text("Your account there opens none here")
    assert violations(page) == []
    sign_in(page, "ada")
    page.get_by_role("button", name="ada", exact=True).click()
    page.get_by_role("link", name="Connect your account at Mock").click()
    at_provider("somebody")
    expect(page.get_by_role("button", name="Disconnect your account at Mock")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Sign out", exact=True).last.click()
    page.get_by_role("link", name="Sign in with Mock").click()
    at_provider("somebody")
    expect(page.get_by_role("button", name="ada", exact=True)).to_be_visible()
    page.get_by_role("button", name="ada", exact=True).click()
    page.get_by_role("button", name="Disconnect your account at Mock").click()
    expect(page.get_by_role("link", name="Connect your account at Mock")).to_be_visible()


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_door_speaks_the_browser_s_language_on_a_phone(
    browser: Browser, server: Server, language: str, theme: Any
) -> None:
    context = browser.new_context(locale=language, color_scheme=theme, viewport={"width": 390, "height": 700})
    page = context.new_page()
    page.goto(server.root)
    expect(page.get_by_role("heading", name=WORDS[language])).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
