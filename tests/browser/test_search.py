"""Finding something again: by keyboard, to the message, on whichever branch it is."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Chat
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_message_is_found_and_opened_by_keyboard_alone(chat: Chat) -> None:
    page = chat.page
    chat.ask("Où est passé mon CŒUR <b>?")
    chat.answered()
    for number in range(3):
        chat.ask(f"everything {number} everything")
        chat.answered(number + 2)
    page.keyboard.press("Control+Shift+O")
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search your conversations")
    expect(field).to_be_focused()
    assert violations(page) == []
    page.keyboard.type("plateau")
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(3)
    expect(page.get_by_role("dialog").get_by_role("option").first).to_have_attribute("aria-selected", "true")
    assert violations(page) == []
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("dialog").get_by_role("option").last).to_have_attribute("aria-selected", "true")
    field.fill("coeur <b")
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(2)  # the title, and the message
    expect(page.get_by_role("dialog").get_by_role("option").last.locator("mark")).to_have_text(["CŒUR", "b"])
    today = page.evaluate("new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium' }).format(new Date())")
    expect(page.get_by_role("option").last.locator("small")).to_have_text(
        f"You · {today}"
    )  # as the browser's region has it
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    question = page.locator(".question").first
    expect(question).to_be_focused()
    expect(question).to_be_in_viewport()
    reach = question.evaluate(
        "article => { const s = getComputedStyle(article), turn = article.closest('.turn').getBoundingClientRect();"
        " return article.getBoundingClientRect().left - turn.left - parseFloat(s.outlineWidth) - parseFloat(s.outlineOffset); }"
    )
    assert reach >= 0, "the ring is painted whole: nothing outside a turn is"
    expect(page.locator(".answer").last).not_to_be_in_viewport()
    page.keyboard.press("Control+k")
    page.keyboard.type("abc")
    page.keyboard.press("Escape")  # closes at once, also with words in the field
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(question).to_be_focused()


def test_what_stands_on_another_branch_is_shown(chat: Chat) -> None:
    page = chat.page
    chat.ask("A question of zebras")
    chat.answered()
    page.locator(".question").hover()
    page.get_by_role("button", name="Ask differently").click()
    page.get_by_label("Ask differently").fill("A question of horses")
    page.keyboard.press("Enter")
    expect(page.locator(".question .branches")).to_contain_text("Version 2 of 2")
    chat.answered()
    page.get_by_role("button", name="Search").click()
    page.keyboard.type("zebra")
    expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(2)
    page.get_by_role("dialog").get_by_role("option").last.click()
    expect(page.locator(".question .bubble")).to_have_text("A question of zebras")
    expect(page.locator(".question")).to_be_focused()


def test_nothing_found_is_said(chat: Chat) -> None:
    expect(chat.page.locator(".welcome")).to_be_visible()
    chat.page.keyboard.press("Control+k")
    expect(chat.page.get_by_role("dialog")).to_contain_text("Capitals and accents make no difference")
    chat.page.keyboard.type('xylophone AND ("')
    expect(chat.page.get_by_role("dialog")).to_contain_text("Nothing found.")
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("dialog")).to_contain_text("Nothing found.")


class TestPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"locale": "de-DE", "viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}

    def test_the_drawer_leads_to_it(self, chat: Chat) -> None:
        page = chat.page
        page.get_by_label("Nachricht", exact=True).fill("Wo ist Zürich?")
        page.keyboard.press("Enter")
        chat.answered()
        page.get_by_role("button", name="Unterhaltungen anzeigen").click()
        page.get_by_role("button", name="Suchen").click()
        page.keyboard.type("zurich")
        expect(page.get_by_role("dialog").get_by_role("option")).to_have_count(2)
        assert violations(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("dialog").get_by_role("option").last.click()
        expect(page.get_by_role("navigation")).to_have_count(0)
        expect(page.locator(".question")).to_be_focused()
