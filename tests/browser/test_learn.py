"""The page on learning from feedback: what is learned from, the attempt, and the decision on what came of it."""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Chat, Room
from tests.browser.test_access import violations
from tests.imitated_tune import imitate

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NUM_CORRECTIONS = 6


@pytest.fixture(autouse=True)
def nothing_learned(room: Room) -> Iterator[None]:
    yield
    for name in ("adapters", "runs", "learning"):
        shutil.rmtree(room.home / name, ignore_errors=True)
    room.ask("PUT", "/api/settings", {"default_model": None})


@pytest.fixture
def corrected(chat: Chat) -> Chat:
    """A chat with better answers to some questions, and one answer that is only bad."""
    room = chat.room
    conversation = room.ask("POST", "/api/conversations", {})["id"]
    for number in range(NUM_CORRECTIONS + 1):
        body = {"content": f"Question {number} of ada@example.org", "client_id": f"c{number}"}
        answer = room.ask("POST", f"/api/conversations/{conversation}/messages", body)["assistant_message"]["id"]
        while room.ask("GET", f"/api/conversations/{conversation}")["generating"]:
            pass
        if number < NUM_CORRECTIONS:
            room.ask("PUT", f"/api/messages/{answer}/better", {"content": f"Better answer {number}."})
        else:
            room.ask("PUT", f"/api/messages/{answer}/rating", {"thumb": "down", "reason": "wrong"})
    return chat


def open_page(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("button", name="Learn from my corrections").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Learn from my corrections")


def test_what_is_learned_from_can_be_looked_through_left_out_and_taken_along(corrected: Chat) -> None:
    page = corrected.page
    open_page(page)
    counts = page.locator(".counts")
    expect(counts).to_contain_text("Better answers6")
    expect(counts).to_contain_text("Left out1")
    items = page.locator(".feedback-list li")
    expect(items).to_have_count(NUM_CORRECTIONS + 1)
    expect(items.first).to_contain_text("Without a better answer")
    second = items.nth(1)
    second.locator("summary").click()
    expect(second).to_contain_text("Question 5 of <EMAIL>")
    expect(second).to_contain_text("Better answer 5.")
    expect(second).to_contain_text("Hello! I am **Bise**.")
    assert "ada@example.org" not in page.locator(".feedback-list").inner_text()
    assert violations(page) == []
    with page.expect_response("**/api/feedback/*"):
        second.get_by_role("checkbox", name="Learn from this").uncheck()
    expect(counts).to_contain_text("Better answers5")
    page.reload()
    expect(counts).to_contain_text("Better answers5")
    expect(items.nth(1).get_by_role("checkbox")).not_to_be_checked()
    items.nth(2).get_by_role("checkbox").uncheck()
    expect(page.get_by_text("At least 5 are needed.")).to_be_visible()
    expect(page.get_by_role("button", name="Start learning")).to_be_disabled()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download (JSON Lines)").click()
    lines = [json.loads(line) for line in download.value.path().read_text(encoding="utf-8").splitlines()]
    assert len(lines) == NUM_CORRECTIONS + 1
    assert lines[0]["conversation"] == [{"role": "user", "content": "Question 0 of ada@example.org"}]
    assert download.value.suggested_filename.endswith(".jsonl")


def start(page: Page) -> None:
    """Press the button when it can be pressed: a key, unlike a click, does not wait for that."""
    button = page.get_by_role("button", name="Start learning")
    expect(button).to_be_enabled()
    button.press("Enter")


def test_learning_survives_reload_and_restart_and_what_came_of_it_is_kept_and_gone_back_from(corrected: Chat) -> None:
    page, room = corrected.page, corrected.room
    imitate(room.home, steps=150, pause_s=0.05)
    open_page(page)
    page.get_by_role("checkbox", name="because they are public: ada@example.org").check()
    assert violations(page) == []
    start(page)
    expect(page.get_by_role("heading", name="Learning…")).to_be_visible()
    expect(page.get_by_text("step ")).to_contain_text("of 150")
    assert json.loads((room.home / "kept.json").read_text()) is True
    assert violations(page) == []
    page.reload()
    expect(page.get_by_role("progressbar", name="Progress of learning")).to_be_visible()
    room.kill()
    room.start()
    expect(page.get_by_role("heading", name="What changed")).to_be_visible(timeout=30_000)
    expect(page.get_by_role("row", name="Held-out questions: like yours")).to_contain_text("10%90%")
    expect(page.get_by_role("row", name="40 everyday questions: like before")).to_contain_text("100%75%")
    expect(page.locator(".learn-result .trouble")).to_contain_text("Answers to other questions changed, too.")
    expect(page.locator(".example")).to_have_count(3)
    page.get_by_text("More figures").click()
    expect(page.get_by_role("row", name="your held-out corrections")).to_contain_text("3.001.00-67%")
    expect(page.get_by_role("row", name="general text")).to_contain_text("2.002.02+1%")
    expect(page.get_by_text("got worse")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Keep").press("Enter")
    expect(page.get_by_text("bise-demo:feedback-1 answers in new chats.")).to_be_visible()
    expect(page.get_by_role("region", name="How it stands")).to_be_focused()
    expect(page.get_by_text("bise-demo:feedback-1 answers in new chats.")).to_be_in_viewport()
    assert violations(page) == []
    page.get_by_role("button", name="New chat", exact=True).click()
    picker = page.get_by_role("combobox", name="Model")
    expect(picker).to_have_value("bise-demo:feedback-1")
    corrected.ask("Hello")
    corrected.answered()
    expect(page.locator(".facts")).to_contain_text("bise-demo:feedback-1")
    open_page(page)
    page.get_by_role("button", name="Go back to the base model").click()
    expect(page.get_by_text("bise-demo answers in new chats.")).to_be_visible()
    page.get_by_role("button", name="Use it again").click()
    page.get_by_role("button", name="Go back to the base model").click()
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("button", name="Start learning")).to_be_visible()
    expect(page.get_by_role("button", name="Discard")).to_have_count(0)
    page.get_by_role("button", name="New chat", exact=True).click()
    expect(page.get_by_role("button", name="bise-demo", exact=True)).to_be_visible()
    assert all("ERR_" in line for line in corrected.console)  # the browser's own notes of the restart
    corrected.console.clear()


def test_learning_is_cancelled_and_refusals_are_said_in_place(corrected: Chat) -> None:
    page, room = corrected.page, corrected.room
    imitate(room.home, steps=1000, pause_s=0.05)
    open_page(page)
    page.get_by_role("button", name="Start learning").click()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".trouble")).to_have_text("You cancelled the last attempt. Nothing was learned.")
    assert not list((room.home / "runs/tune").glob("*"))
    imitate(room.home, error="There are 3 lessons for bise-demo in the feedback, and at least 5 are needed.")
    page.get_by_role("button", name="Start learning").click()
    expect(page.get_by_text("There are 3 lessons for bise-demo")).to_be_visible()
    assert violations(page) == []


def test_nothing_said_yet_says_how_to_begin(chat: Chat) -> None:
    open_page(chat.page)
    expect(chat.page.get_by_text("Nothing yet. Below each answer")).to_be_visible()
    expect(chat.page.get_by_role("button", name="Start learning")).to_be_disabled()
    assert violations(chat.page) == []


@pytest.mark.parametrize("language", ["de-DE", "fr-FR", "es-ES", "it-IT"])
class TestPhone:
    @pytest.fixture
    def context_options(self, language: str) -> dict[str, Any]:
        phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
        return {"locale": language, "color_scheme": "dark", **phone}

    def test_it_fits_a_small_screen_in_every_language(self, corrected: Chat, language: str) -> None:
        page = corrected.page
        imitate(corrected.room.home)
        corrected.room.ask("POST", "/api/learning")
        page.goto(f"{corrected.room.root}/#learn")
        expect(page.locator(".learn-result .example")).to_have_count(3)
        wide = """() => [...document.querySelectorAll("html, body, main, .scroller, .learn, .learn-state")]
            .filter(element => element.scrollWidth > element.clientWidth).map(element => element.className)"""
        assert page.evaluate(wide) == [], language
        assert violations(page) == []
