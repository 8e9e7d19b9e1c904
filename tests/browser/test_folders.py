"""Projects and pins: made, filled, changed and undone by hand, in the list and in what models are sent."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Chat, Room
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(autouse=True)
def no_projects(room: Room) -> Iterator[None]:
    yield
    for folder in room.ask("GET", "/api/folders")["folders"]:
        room.ask("DELETE", f"/api/folders/{folder['id']}")


def test_a_project_from_beginning_to_end(chat: Chat) -> None:
    page, projects = chat.page, chat.page.get_by_role("region", name="Projects")
    chat.ask("Hello")
    chat.answered()
    page.get_by_role("button", name="New project").click()
    page.get_by_role("dialog").get_by_role("textbox", name="Name").fill("Winds <b>")
    page.get_by_role("dialog").get_by_role("textbox", name="Instructions").fill("Answer in verse.")
    heading = page.get_by_role("dialog").get_by_role("heading").evaluate("heading => getComputedStyle(heading).padding")
    assert heading == "0px", "a dialog's heading is none of the list's"
    assert violations(page) == []
    page.get_by_role("button", name="Save").click()
    expect(projects.get_by_role("button", name="Winds <b>", exact=True)).to_be_visible()
    projects.get_by_role("button", name="Winds <b>", exact=True).hover()
    page.get_by_role("button", name="New chat in “Winds <b>”").click()
    expect(page.locator(".top .folder-name")).to_have_text("Winds <b>")
    chat.ask("Inside")
    chat.answered()
    expect(projects.get_by_role("button", name="Inside", exact=True)).to_be_visible()
    (message,) = [each for each in messages(chat, "Inside") if each["role"] == "assistant"]
    assert message["system_prompt"] == "Answer in verse."
    assert violations(page) == []

    page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True).hover()
    page.get_by_role("button", name="Rename “Hello”").click()
    page.get_by_role("dialog").get_by_label("Project").select_option("Winds <b>")
    page.get_by_role("button", name="Save").click()
    expect(projects.get_by_role("button", name="Hello", exact=True)).to_be_visible()

    page.locator(".top .folder-name").click()
    expect(page.get_by_role("dialog").get_by_role("textbox", name="Instructions")).to_have_value("Answer in verse.")
    page.get_by_role("button", name="Delete project").click()
    page.get_by_role("button", name="Delete it; its chats stay").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(projects.get_by_role("listitem")).to_have_count(0)
    expect(page.get_by_role("navigation").get_by_role("button", name="Inside", exact=True)).to_be_visible()
    expect(page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True)).to_be_visible()


def test_a_pinned_conversation_stays_on_top(chat: Chat) -> None:
    page = chat.page
    for question in ("first", "second"):
        page.keyboard.press("Control+Shift+O")
        chat.ask(question)
        chat.answered()
    rows = page.get_by_role("navigation").locator("li[data-current] .row-title")
    expect(rows).to_have_text(["second", "first"])
    page.get_by_role("navigation").get_by_role("button", name="first", exact=True).focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pin “first”")).to_be_focused()
    page.keyboard.press("Enter")
    expect(rows).to_have_text(["first", "second"])
    expect(page.get_by_role("navigation").get_by_role("button", name="first", exact=True)).to_be_focused()
    expect(page.get_by_role("region", name="Pinned")).to_contain_text("first")
    page.reload()
    expect(rows).to_have_text(["first", "second"])
    page.get_by_role("navigation").get_by_role("button", name="first", exact=True).hover()
    page.get_by_role("button", name="Pin “first”").click()
    expect(rows).to_have_text(["second", "first"])
    expect(page.get_by_role("region", name="Pinned")).to_have_count(0)


class TestGermanPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"locale": "de-DE", "viewport": {"width": 390, "height": 844}, "color_scheme": "dark", "has_touch": True}

    def test_the_drawer_holds_projects(self, chat: Chat) -> None:
        page = chat.page
        page.get_by_role("button", name="Unterhaltungen anzeigen").click()
        page.get_by_role("button", name="Neues Projekt").click()
        page.get_by_role("dialog").get_by_role("textbox", name="Name").fill(
            "Donaudampfschifffahrtsgesellschaftskapitänswitwen und ihre Verwandten in aller Welt"
        )
        assert violations(page) == []
        page.get_by_role("button", name="Speichern").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.get_by_role("button", name="Neuer Chat in").click()
        expect(page.locator(".top .folder-name")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert violations(page) == []


def messages(chat: Chat, title: str) -> list[dict[str, Any]]:
    listed = chat.room.ask("GET", "/api/conversations")["conversations"]
    (found,) = [each["id"] for each in listed if each["title"] == title]
    return chat.room.ask("GET", f"/api/conversations/{found}")["messages"]
