"""A conversation in a real browser with the real application: only the model is a script."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.browser.conftest import ROOT, Chat
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_first_conversation(chat: Chat) -> None:
    page = chat.page
    expect(page.get_by_role("heading", level=1)).to_have_text("A model of your own")
    expect(page.get_by_label("This is a demonstration")).to_contain_text("bise pull")
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.get_by_role("button", name="Hello! Who are you?").click()
    expect(page.get_by_role("article", name="You")).to_contain_text("Hello! Who are you?")
    chat.answered()
    expect(page.get_by_role("article", name="Bise")).to_contain_text("Hello! I am Bise.")
    expect(page.locator(".answer strong")).to_have_text("Bise")
    expect(page.locator(".facts")).to_contain_text(re.compile(r"bise-demo · first token after \d+\.\d\d s"))
    expect(page.get_by_role("navigation").get_by_role("button", name="Hello! Who are you?", exact=True)).to_be_visible()
    expect(page).to_have_title("Hello! Who are you? · Bise")


def test_an_answer_appears_while_it_is_written_and_can_be_stopped(chat: Chat) -> None:
    chat.ask("slow everything")
    expect(chat.page.locator(".answer")).to_contain_text("A north wind")
    chat.page.get_by_label("Message", exact=True).fill("The next question can be written meanwhile")
    chat.page.keyboard.press("Enter")
    chat.page.keyboard.press("Escape")
    chat.answered()
    expect(chat.page.locator(".answer")).to_contain_text("You stopped this answer.")
    assert "north wind" in chat.answer
    assert "cheek" not in chat.answer
    expect(chat.page.locator(".facts")).to_contain_text(re.compile(r"first token after \d+\.\d\d s · \d+ tokens/s"))
    expect(chat.page.get_by_label("Message", exact=True)).to_have_value("The next question can be written meanwhile")
    chat.page.keyboard.press("Enter")
    chat.answered(2)


def test_a_reload_in_mid_answer_goes_on_and_shows_the_same(chat: Chat) -> None:
    formulae = chat.page.locator(".answer").last.locator(".katex")
    chat.ask("everything")
    chat.answered()
    expect(formulae).to_have_count(2)
    whole = chat.answer
    chat.ask("slow everything")
    expect(chat.page.locator(".answer").nth(1)).to_contain_text("People there know")
    chat.page.reload()
    expect(chat.page.locator(".answer").nth(1)).to_contain_text("Swiss Plateau")
    expect(chat.page.get_by_role("button", name="Stop")).to_be_visible()
    chat.answered(2)
    expect(formulae).to_have_count(2)
    assert chat.answer == whole
    chat.page.reload()
    chat.answered(2)
    expect(formulae).to_have_count(2)
    assert chat.answer == whole


def test_a_second_tab_follows_the_same_answer(chat: Chat, context: BrowserContext) -> None:
    chat.ask("slow everything")
    expect(chat.page.locator(".answer")).to_contain_text("Swiss Plateau")
    second = context.new_page()
    second.goto(chat.page.url)
    expect(second.locator(".answer footer")).to_have_count(1)
    chat.answered()
    for each in (second, chat.page):
        expect(each.locator(".answer .katex")).to_have_count(2)
    assert second.locator(".answer .markdown").inner_text() == chat.answer


def test_markdown_is_shown_as_what_it_means(chat: Chat) -> None:
    chat.ask("everything")
    chat.answered()
    answer = chat.page.locator(".answer")
    expect(answer.get_by_role("heading", name="A north wind")).to_be_visible()
    expect(answer.locator(".katex")).to_have_count(2)
    expect(answer.locator(".katex-display")).to_have_count(1)
    expect(answer.get_by_role("cell")).to_have_count(8)
    expect(answer.locator("code .hljs-keyword").first).to_have_text("def")
    expect(answer.get_by_role("link", name="kiss")).to_have_attribute("rel", "noopener noreferrer nofollow")
    expect(answer.locator("ol > li")).to_have_count(3)
    expect(answer).to_contain_text("neither $5 nor $10")


def test_text_is_painted_piece_by_piece_and_never_taken_back(chat: Chat) -> None:
    """What a reader has seen stays: unclosed marks at the end of a growing answer never show as marks."""
    chat.page.evaluate(
        """() => {
            window.seen = [];
            new MutationObserver(() => {
                const answer = document.querySelector(".answer .markdown");
                if (answer) window.seen.push(answer.innerText);
            }).observe(document.body, { childList: true, subtree: true, characterData: true });
        }"""
    )
    chat.ask("slow everything")
    chat.answered()
    seen = chat.page.evaluate("window.seen")
    assert len(seen) > 50
    assert not [text for text in seen if "**" in text or "|---" in text or "](" in text or "```" in text]


def test_rename_and_delete(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True).hover()
    page.get_by_role("button", name="Rename “Hello”").click()
    page.get_by_label("Title").fill("A greeting")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("A greeting")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("A greeting")

    page.get_by_role("navigation").get_by_role("button", name="A greeting", exact=True).hover()
    page.get_by_role("button", name="Delete “A greeting”").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("A model of your own")
    expect(page.get_by_role("button", name="Undo deleting “A greeting”")).to_be_focused()
    assert chat.room.ask("GET", "/api/conversations") == {"conversations": []}


def test_several_conversations_answer_at_once(chat: Chat) -> None:
    page = chat.page
    chat.ask("slow everything")
    expect(page.locator(".answer")).to_contain_text("A north")
    page.keyboard.press("Control+Shift+O")
    expect(page.get_by_role("heading", level=1)).to_have_text("What is on your mind?")
    expect(page.get_by_role("navigation")).to_contain_text("Being answered")
    chat.ask("Hello")
    chat.answered()
    expect(page.get_by_role("navigation")).to_contain_text("New answer", timeout=20_000)
    page.get_by_role("navigation").get_by_role("button", name="slow everything").first.click()
    expect(page.locator(".answer .markdown")).to_contain_text("cheek")
    expect(page.get_by_role("navigation")).not_to_contain_text("New answer")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello")


def test_a_failed_answer_says_why_and_can_be_retried(chat: Chat) -> None:
    chat.ask("fail everything")
    expect(chat.page.locator(".trouble")).to_contain_text("The engine stopped answering.")
    chat.page.get_by_role("button", name="Retry").click()
    expect(chat.page.locator(".answer .branches")).to_contain_text("Version 2 of 2")
    expect(chat.page.get_by_role("button", name="Retry")).to_have_count(1)
    assert chat.room.ask("GET", "/api/conversations")["conversations"][0]["title"] == "fail everything"


def test_a_refused_message_stays_in_place_and_can_be_edited(chat: Chat) -> None:
    huge = "x" * (3 << 20)
    field = chat.page.get_by_label("Message", exact=True)
    field.fill(huge)
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("alert")).to_contain_text("This message was not sent.")
    chat.page.get_by_role("button", name="Edit").click()
    assert field.input_value() == huge
    field.fill("Hello")
    chat.page.keyboard.press("Enter")
    chat.answered()
    assert all("413" in line for line in chat.console)  # the browser's own note of the refusal
    chat.console.clear()


def test_drafts_are_kept_for_each_chat(chat: Chat) -> None:
    page, field = chat.page, chat.page.get_by_label("Message", exact=True)
    chat.ask("Hello")
    chat.answered()
    field.fill("half a thought")
    page.keyboard.press("Control+Shift+O")
    expect(field).to_have_value("")
    field.fill("another")
    page.reload()
    expect(field).to_have_value("another")
    page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True).click()
    expect(field).to_have_value("half a thought")


def test_the_keyboard_writes_lines_and_the_field_grows(chat: Chat) -> None:
    field = chat.page.get_by_label("Message", exact=True)
    low = field.bounding_box()
    field.press_sequentially("one")
    chat.page.keyboard.press("Shift+Enter")
    field.press_sequentially("two")
    high = field.bounding_box()
    assert low is not None
    assert high is not None
    assert high["height"] > low["height"]
    chat.page.keyboard.press("Enter")
    expect(chat.page.get_by_role("article", name="You")).to_contain_text("one\ntwo")
    chat.answered()


def test_an_unfinished_composition_is_not_sent(chat: Chat) -> None:
    field = chat.page.get_by_label("Message", exact=True)
    field.fill("にほん")
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True})
    expect(field).to_have_value("にほん")
    expect(chat.page.locator(".question")).to_have_count(0)


def test_a_question_is_pinned_and_the_reader_is_never_moved(chat: Chat) -> None:
    page = chat.page
    chat.ask("everything")
    chat.answered()
    chat.ask("slow everything")
    question = page.locator(".question").nth(1)
    expect(page.locator(".answer").nth(1)).to_contain_text("Swiss Plateau")
    pinned = question.bounding_box()
    assert pinned is not None
    assert pinned["y"] < 150
    expect(page.get_by_role("button", name="Jump to the latest")).to_be_visible(timeout=15_000)
    assert question.bounding_box() == pinned
    page.get_by_role("button", name="Jump to the latest").click()
    chat.answered(2)
    expect(page.locator(".answer footer").nth(1)).to_be_in_viewport()
    expect(page.get_by_role("button", name="Jump to the latest")).to_have_count(0)


def test_a_power_cut_loses_no_question(chat: Chat) -> None:
    page = chat.page
    chat.ask("slow everything")
    expect(page.locator(".answer")).to_contain_text("Swiss Plateau")
    page.wait_for_timeout(1500)  # what an answer says is kept a moment after it was shown
    chat.room.kill()
    expect(page.locator(".banner")).to_contain_text("Bise cannot be reached")
    chat.room.start()
    expect(page.locator(".trouble")).to_contain_text("cut short because Bise was stopped", timeout=15_000)
    expect(page.locator(".banner")).to_have_count(0)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".answer")).to_contain_text("cheek")
    chat.answered()
    expect(page.locator(".trouble")).to_have_count(0)
    assert all("ERR_" in line for line in chat.console)  # the browser's own notes of the broken line
    chat.console.clear()


def test_a_part_that_cannot_be_fetched_says_so_and_leaves_the_rest(chat: Chat) -> None:
    """The page of an earlier version asks for code that an upgraded server no longer has."""
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    for part in ("LookInside", "YourData"):
        page.route(f"**/assets/{part}-*.js", lambda route: route.fulfill(status=404))
    page.get_by_role("button", name="Look inside").click()
    notice = page.get_by_role("alert").filter(has_text="could not be opened")
    expect(notice).to_be_visible()
    expect(page.locator(".answer .markdown")).to_contain_text("Hello! I am Bise.")
    assert violations(page) == []
    page.get_by_role("button", name="Your data").click()
    expect(page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True)).to_be_visible()
    page.unroute_all()
    notice.get_by_role("button", name="Retry").click()
    expect(page.get_by_role("heading", level=1, name="Your data")).to_be_visible()
    expect(notice).to_have_count(0)
    assert chat.console
    assert all("404" in line or "dynamically imported module" in line for line in chat.console), chat.console
    chat.console.clear()


def test_what_was_said_elsewhere_is_there_when_a_chat_is_opened_again(chat: Chat) -> None:
    page, room = chat.page, chat.room
    chat.ask("Hello")
    chat.answered()
    conversation = page.evaluate("location.hash.slice(1)")
    page.keyboard.press("Control+Shift+O")
    path = f"/api/conversations/{conversation}"
    room.ask("POST", f"{path}/messages", {"content": "And from another window?", "client_id": "elsewhere"})
    while room.ask("GET", path)["generating"]:
        page.wait_for_timeout(20)
    page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True).click()
    expect(page.locator(".bubble").last).to_have_text("And from another window?")
    chat.answered(2)


def test_without_the_server_what_was_read_stays_and_the_page_finds_it_again(chat: Chat) -> None:
    page, room = chat.page, chat.room
    chat.ask("Hello")
    chat.answered()
    page.keyboard.press("Control+Shift+O")
    room.kill()
    page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True).click()
    expect(page.locator(".banner")).to_contain_text("Bise cannot be reached")
    expect(page.locator(".answer .markdown")).to_contain_text("Hello! I am Bise.")
    expect(page.locator(".trouble")).to_have_count(0)
    room.start()
    expect(page.locator(".banner")).to_have_count(0)
    page.route("**/api/conversations", lambda route: route.fulfill(status=503))  # there, and not ready
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(page.locator(".banner")).to_be_visible()
    page.unroute_all()
    expect(page.locator(".banner")).to_have_count(0)
    assert all("ERR_" in line or "503" in line for line in chat.console)
    chat.console.clear()


def test_without_the_cookie_the_page_says_where_the_key_is(chat: Chat, context: BrowserContext) -> None:
    context.clear_cookies()
    chat.page.reload()
    expect(chat.page.get_by_role("heading", level=1)).to_have_text("This page needs its key")
    assert all("401" in line for line in chat.console)
    chat.console.clear()


@pytest.mark.parametrize(
    ("locale", "language"), [("fr-CH", "fr"), ("de-AT", "de"), ("es-ES", "es"), ("it-CH", "it"), ("pl-PL", "en")]
)
class TestLanguages:
    @pytest.fixture
    def context_options(self, locale: str) -> dict[str, Any]:
        return {"locale": locale}

    def test_the_page_speaks_the_browsers_language(self, chat: Chat, locale: str, language: str) -> None:
        heading = chat.page.get_by_role("heading", level=1)
        assert chat.page.evaluate("navigator.language") == locale
        expect(heading).to_have_text(greeting(language))
        expect(chat.page.locator("html")).to_have_attribute("lang", language)
        chat.page.locator("select").nth(1).select_option("it")
        expect(heading).to_have_text(greeting("it"))
        chat.page.reload()
        expect(heading).to_have_text(greeting("it"))


def greeting(language: str) -> str:
    words = json.loads((ROOT / f"web/src/i18n/{language}.json").read_text(encoding="utf-8"))
    return words["welcomeFirst"]
