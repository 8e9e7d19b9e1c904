"""Judging and improving answers, and going between branches, in a real browser."""

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Route, expect

from tests.browser.conftest import Chat
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def feedback(chat: Chat) -> list[dict[str, Any]]:
    return chat.room.ask("GET", "/api/feedback")["items"]


def only(chat: Chat) -> dict[str, Any]:
    (item,) = feedback(chat)
    return item


def said(chat: Chat) -> Locator:
    return chat.page.locator(".answer .markdown")


def test_a_thumb_with_a_reason_by_keyboard_and_announced(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    bad = page.get_by_role("button", name="A bad answer")
    bad.focus()
    page.keyboard.press("Enter")
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status").filter(has_text="Noted. Thank you.")).to_have_count(1)
    expect(bad).to_be_focused()  # asking why takes nothing away
    reasons = page.get_by_role("group", name="What is wrong with it?")
    assert violations(page) == []
    reasons.get_by_role("button", name="Not true").press("Enter")
    reasons.get_by_label("In your own words").fill("Bise has no greeting.")
    with page.expect_response(lambda response: "no greeting" in (response.request.post_data or "")):
        page.keyboard.press("Enter")
    expect(reasons).to_have_count(0)
    expect(bad).to_be_focused()
    expect(page.get_by_role("button", name="Not true")).to_be_visible()
    item = only(chat)
    assert (item["thumb"], item["reason"], item["comment"]) == ("down", "wrong", "Bise has no greeting.")
    page.reload()
    expect(bad).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Not true").click()
    expect(reasons.get_by_label("In your own words")).to_have_value("Bise has no greeting.")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="A good answer").click()
    expect(bad).to_have_attribute("aria-pressed", "false")
    expect(page.get_by_role("group", name="What is good about it?")).to_be_visible()
    assert (only(chat)["thumb"], only(chat).get("reason")) == ("up", None)
    page.get_by_role("button", name="A good answer").click()
    expect(page.get_by_role("button", name="A good answer")).to_have_attribute("aria-pressed", "false")
    assert feedback(chat) == []


def test_an_answer_is_edited_into_a_better_one_and_the_original_is_kept(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    page.get_by_role("button", name="Edit into a better answer").click()
    field = page.get_by_label("A better answer", exact=True)
    expect(field).to_be_focused()
    expect(field).to_have_value("Hello! I am **Bise**.")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(field).to_have_count(0)
    expect(page.get_by_role("button", name="Edit into a better answer")).to_be_focused()
    page.keyboard.press("Enter")
    field.fill("Good day! I am **your** Bise.")
    page.keyboard.press("Control+Enter")
    expect(said(chat)).to_have_text("Good day! I am your Bise.")
    expect(page.locator(".edited")).to_contain_text("Edited by you.")
    assert (only(chat)["answer"], only(chat)["better"]) == ("Hello! I am **Bise**.", "Good day! I am **your** Bise.")
    assert violations(page) == []
    page.reload()
    expect(said(chat)).to_have_text("Good day! I am your Bise.")
    page.get_by_role("button", name="Show the original").click()
    expect(said(chat)).to_have_text("Hello! I am Bise.")
    page.get_by_role("button", name="Show your version").click()
    expect(said(chat)).to_have_text("Good day! I am your Bise.")
    page.get_by_role("button", name="Show the original").click()
    page.get_by_role("button", name="Use the original again").click()
    expect(page.locator(".edited")).to_have_count(0)
    expect(said(chat)).to_have_text("Hello! I am Bise.")
    assert feedback(chat) == []


def test_answers_made_anew_are_branches_and_one_is_preferred(chat: Chat) -> None:
    page = chat.page
    chat.ask("count")
    chat.answered()
    first = chat.answer
    page.get_by_role("button", name="Answer again").click()
    versions = page.locator(".answer .branches")
    expect(versions).to_contain_text("Version 2 of 2")
    which = page.get_by_role("group", name="Which answer is better?")
    expect(which).to_be_visible()  # the answer has ended
    second = chat.answer
    assert second != first
    which.get_by_role("button", name="This one").click()
    expect(which.get_by_role("button", name="This one")).to_have_attribute("aria-pressed", "true")
    assert (only(chat)["chosen"], only(chat)["rejected"]) == (second, first)
    assert violations(page) == []

    previous = versions.get_by_role("button", name="Previous version")
    previous.focus()
    page.keyboard.press("Enter")
    expect(said(chat)).to_have_text(first)
    expect(previous).to_be_focused()
    expect(which.get_by_role("button", name="Number 2")).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(said(chat)).to_have_text(first)
    which.get_by_role("button", name="Equally good").click()
    expect(which.get_by_role("button", name="Equally good")).to_have_attribute("aria-pressed", "true")
    assert only(chat)["verdict"] == "equal"
    which.get_by_role("button", name="Equally good").click()
    expect(which.get_by_role("button", name="Equally good")).to_have_attribute("aria-pressed", "false")
    assert feedback(chat) == []


def test_a_question_asked_differently_is_a_branch_with_its_own_answers(chat: Chat) -> None:
    page = chat.page
    chat.ask("count")
    chat.answered()
    first = chat.answer
    chat.ask("count on")
    chat.answered(2)
    question = page.get_by_role("article", name="You").first
    question.hover()
    question.get_by_role("button", name="Ask differently").click()
    field = page.get_by_role("textbox", name="Ask differently")
    expect(field).to_have_value("count")
    assert violations(page) == []
    field.fill("count again")
    page.keyboard.press("Enter")
    expect(page.get_by_role("article", name="You")).to_have_count(1)
    expect(page.locator(".bubble")).to_have_text("count again")
    chat.answered()
    assert chat.answer != first
    page.locator(".question .branches").get_by_role("button", name="Previous version").click()
    expect(page.locator(".bubble")).to_have_text(["count", "count on"])
    expect(said(chat).first).to_have_text(first)
    page.reload()
    expect(page.locator(".bubble")).to_have_text(["count", "count on"])


def test_a_reload_in_the_middle_of_an_answer_made_anew(chat: Chat) -> None:
    page = chat.page
    chat.ask("slow everything")
    chat.answered()
    expect(page.locator(".answer .katex")).to_have_count(2)
    whole = chat.answer
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".answer")).to_contain_text("People there know")
    page.reload()
    expect(page.locator(".answer")).to_contain_text("Swiss Plateau")
    chat.answered()
    expect(page.locator(".answer .branches")).to_contain_text("Version 2 of 2")
    expect(page.locator(".answer .katex")).to_have_count(2)
    assert chat.answer == whole


def test_a_stopped_answer_is_continued_to_the_same_text(chat: Chat) -> None:
    page = chat.page
    chat.ask("everything")
    chat.answered()
    expect(page.locator(".answer .katex")).to_have_count(2)
    whole = chat.answer
    chat.ask("slow everything")
    expect(page.locator(".answer").nth(1)).to_contain_text("Swiss Plateau")
    page.keyboard.press("Escape")
    chat.answered(2)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    chat.answered(2)
    expect(page.locator(".answer .katex")).to_have_count(4)
    expect(page.get_by_text("You stopped this answer.")).to_have_count(0)
    assert chat.answer == whole


class TestModels:
    @pytest.fixture(autouse=True)
    def adapter(self, room: Any) -> Any:
        directory = room.home / "adapters/bise-demo/mine"
        directory.mkdir(parents=True)
        yield
        directory.rmdir()

    def test_each_chat_has_its_model(self, chat: Chat) -> None:
        page = chat.page
        picker = page.get_by_role("combobox", name="Model")
        expect(picker).to_have_value("bise-demo")
        picker.select_option("bise-demo:mine")
        chat.ask("Hello")
        chat.answered()
        expect(page.locator(".facts")).to_contain_text("bise-demo:mine")
        expect(page.locator(".composer-dock .fine")).to_contain_text("bise-demo:mine")
        assert violations(page) == []
        page.get_by_role("button", name="New chat", exact=True).click()
        expect(picker).to_have_value("bise-demo")
        page.go_back()
        expect(picker).to_have_value("bise-demo:mine")
        picker.select_option("bise-demo")
        chat.ask("And now?")
        chat.answered(2)
        expect(page.locator(".facts").nth(1)).to_contain_text(re.compile("^bise-demo ·"))
        page.reload()
        expect(picker).to_have_value("bise-demo")
        page.get_by_role("button", name="About this model").click()
        expect(page.get_by_role("dialog")).to_contain_text("A demonstration model for tests.")


class TestElsewhere:
    @pytest.fixture(autouse=True)
    def elsewhere(self, room: Any) -> Any:
        file = room.home / "elsewhere/large"
        file.parent.mkdir(exist_ok=True)
        file.touch()
        yield
        file.unlink()

    def test_what_leaves_the_machine_is_said_before_anything_is_sent(self, chat: Chat) -> None:
        page = chat.page
        told = page.locator(".composer-dock .fine")
        expect(told).to_contain_text("on the computer where Bise runs")
        page.get_by_role("combobox", name="Model").select_option("large (at example-cloud)")
        expect(told).to_contain_text("Your messages leave this machine: example-cloud answers with the AI model large.")
        assert violations(page) == []
        chat.ask("Hello")
        chat.answered()
        expect(page.locator(".facts")).to_contain_text("large (at example-cloud) · first token")


class TestPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"locale": "de-DE", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

    def test_judging_fits_a_small_screen(self, chat: Chat) -> None:
        page = chat.page
        page.get_by_label("Nachricht", exact=True).fill("count")
        page.get_by_role("button", name="Senden").tap()
        chat.answered()
        page.get_by_role("button", name="Noch einmal antworten").tap()
        expect(page.locator(".answer .branches")).to_contain_text("Fassung 2 von 2")
        page.get_by_role("button", name="Eine schlechte Antwort").tap()
        expect(page.get_by_role("group", name="Was stimmt nicht?")).to_be_visible()
        wide = """() => [...document.querySelectorAll("html, body, main, .scroller, .messages")]
            .filter(element => element.scrollWidth > element.clientWidth).map(element => element.className)"""
        assert page.evaluate(wide) == []
        assert violations(page) == []


def test_feedback_that_the_server_refuses_is_said_in_place(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    page.route(
        "**/rating", lambda route: route.fulfill(status=507, body=json.dumps({"error": {"message": "No space."}}))
    )
    page.get_by_role("button", name="A good answer").click()
    expect(page.get_by_role("alert")).to_have_text("No space.")
    expect(page.get_by_role("button", name="A good answer")).to_have_attribute("aria-pressed", "false")
    chat.console.clear()


def test_what_was_said_last_counts_however_slow_the_way_of_what_was_said_before(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    held: list[Route] = []
    page.route("**/rating", lambda route: route.continue_() if held else held.append(route))
    good, bad = (page.get_by_role("button", name=f"A {kind} answer") for kind in ("good", "bad"))
    good.click()
    bad.click()
    page.wait_for_timeout(300)  # enough for the second to overtake the first, if it could
    held[0].continue_()
    expect(bad).to_have_attribute("aria-pressed", "true")
    expect(good).to_have_attribute("aria-pressed", "false")
    assert only(chat)["thumb"] == "down"
