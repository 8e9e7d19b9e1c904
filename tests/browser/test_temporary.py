"""A temporary conversation, as people have it: plainly marked, whole, and nowhere afterwards."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Chat
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]
CANARY = "zephyrcanary7391"


def test_a_temporary_conversation_leaves_nothing(chat: Chat) -> None:
    page, field = chat.page, chat.page.get_by_label("Message", exact=True)
    page.get_by_role("button", name="Temporary chat").click()
    expect(page.locator(".banner.temporary")).to_contain_text("kept in memory only")
    assert violations(page) == []
    field.fill(f"a draft of {CANARY}")
    assert CANARY not in page.evaluate("JSON.stringify(localStorage)")
    chat.ask(f"{CANARY} everything")
    chat.answered()
    assert violations(page) == []
    expect(page.get_by_role("heading", level=1)).to_have_text("Temporary chat")
    assert CANARY not in page.title()
    for name in ("A good answer", "Share by link"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    page.get_by_role("button", name="Answer again").click()
    chat.answered()
    expect(page.locator(".answer .branches")).to_contain_text("Version 2 of 2")
    expect(page.get_by_text("Which answer is better?")).to_have_count(0)
    field.fill(f"another draft of {CANARY}")
    assert CANARY not in page.evaluate("JSON.stringify(localStorage)")
    page.reload()
    chat.answered()
    expect(page.locator(".question")).to_contain_text(CANARY)
    expect(page.locator(".banner.temporary")).to_be_visible()
    page.keyboard.press("Control+k")
    page.keyboard.type(CANARY)
    expect(page.get_by_role("dialog")).to_contain_text("Nothing found.")
    page.keyboard.press("Escape")
    assert chat.room.ask("GET", "/api/conversations") == {"conversations": []}
    for path in chat.room.home.rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path

    page.get_by_role("navigation").get_by_role("region", name="Temporary chat").get_by_role("listitem").hover()
    page.get_by_role("button", name=f"Delete “{CANARY} everything”").click()
    expect(page.get_by_role("navigation")).not_to_contain_text(CANARY)
    assert chat.room.ask("GET", "/api/temporary/conversations") == {"conversations": []}


def test_it_is_gone_when_the_server_is(chat: Chat) -> None:
    page = chat.page
    page.get_by_role("button", name="Temporary chat").click()
    chat.ask("slow everything")
    expect(page.locator(".answer")).to_contain_text("A north")
    page.get_by_role("button", name="Stop").click()
    chat.answered()
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".answer")).to_contain_text("cheek")
    chat.answered()
    chat.room.kill()
    chat.room.start()
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("There is no such conversation.")
    chat.console.clear()  # the browser's own notes of the broken line, and of the answer that there is none
