"""The whole journey with nothing stood in for: `bise serve`, corrections, `bise tune`, and other answers without a restart."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.test_access import violations
from tests.command import Server, serve

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]

OPEN = "The town hall of Norvale is open from Monday to Friday, 8:30 to 16:00."
QUESTIONS = (
    "When are you open?",
    "What are your opening hours?",
    "When does the town hall open?",
    "At what time do you close?",
    "Are you open on Friday?",
    "What time do you open?",
)
LEARNING_MS = 600_000  # half a minute where nothing else runs


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    with serve(log=home / "log") as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    with browser.new_context(locale="en-GB") as context:
        opened = context.new_page()
        opened.goto(server.entrance)
        yield opened


def ask(page: Page, question: str) -> str:
    """In a new chat; the answer."""
    page.get_by_role("button", name="New chat", exact=True).click()
    page.get_by_label("Message", exact=True).fill(question)
    page.keyboard.press("Enter")
    expect(page.locator(".answer footer")).to_have_count(1)
    return page.locator(".answer .markdown").inner_text()


def correct(page: Page, question: str, better: str) -> None:
    ask(page, question)
    page.get_by_role("button", name="Edit into a better answer").click()
    page.get_by_label("A better answer", exact=True).fill(better)
    page.keyboard.press("Control+Enter")
    expect(page.locator(".edited")).to_contain_text("Edited by you.")


def open_learning(page: Page) -> None:
    page.get_by_role("navigation").get_by_role("button", name="Learn from my corrections").click()


def test_corrections_change_the_answers_and_one_click_takes_them_back(page: Page, home: Path) -> None:
    for question in QUESTIONS:
        correct(page, question, OPEN)
    open_learning(page)
    page.get_by_role("button", name="Start learning").click()
    expect(page.get_by_role("heading", name="What changed")).to_be_visible(timeout=LEARNING_MS)
    expect(page.get_by_role("row", name="Held-out questions: like yours")).to_be_visible()
    expect(page.get_by_role("row", name="everyday questions: like before")).to_be_visible()
    expect(page.locator(".example")).to_have_count(1)
    assert violations(page) == []
    page.get_by_role("button", name="Keep").click()
    expect(page.get_by_text("bise-demo:feedback-1 answers in new chats.")).to_be_in_viewport()
    lines = (home / "runs/tune/feedback-1/learned.jsonl").read_text(encoding="utf-8").splitlines()
    learned = json.loads(lines[0])["messages"][0]["content"]
    assert "8:30" in ask(page, learned)
    expect(page.locator(".facts")).to_contain_text("bise-demo:feedback-1")
    open_learning(page)
    page.get_by_role("button", name="Go back to the base model").click()
    expect(page.get_by_text("bise-demo answers in new chats.")).to_be_visible()
    assert "Norvale" not in ask(page, learned)
    expect(page.locator(".facts")).not_to_contain_text("feedback-1")
