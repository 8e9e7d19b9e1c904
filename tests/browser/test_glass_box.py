"""What can be seen inside an answer: what the model thought, how likely its words were; and how a chat asks."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Chat, Room
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]
LOOK = "Look inside: how likely each word was"


@pytest.fixture
def elsewhere(room: Room) -> Iterator[str]:
    """A model of another server, which tells no probabilities."""
    file = room.home / "elsewhere" / "far-model"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    yield file.name
    file.unlink()


def test_thoughts_are_one_line_that_opens_and_stays_as_chosen(chat: Chat) -> None:
    page = chat.page
    chat.ask("think everything")
    line = page.locator(".thinking-line")
    expect(line).to_have_text(re.compile(r"Thinking… \d+ s"))
    expect(line).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".thoughts")).to_have_count(0)
    line.click()
    expect(page.locator(".thoughts")).to_contain_text("The bise comes")
    page.reload()  # in the middle of a thought
    expect(page.locator(".thoughts")).to_contain_text("Look at the towns first.")
    chat.answered()
    expect(line).to_have_text(re.compile(r"Thought for [2-9] s"))
    assert "always" not in chat.answer
    page.reload()
    expect(page.locator(".thoughts")).to_contain_text("Look at the towns first.")
    assert violations(page) == []
    line.click()
    page.reload()
    expect(line).to_be_visible()
    expect(page.locator(".thoughts")).to_have_count(0)


def test_a_stop_in_the_middle_of_a_thought_keeps_it(chat: Chat) -> None:
    page = chat.page
    chat.ask("think everything")
    expect(page.locator(".thinking-line")).to_be_visible()
    page.wait_for_timeout(800)
    page.keyboard.press("Escape")
    chat.answered()
    expect(page.locator(".answer")).to_contain_text("You stopped this answer.")
    page.locator(".thinking-line").click()
    expect(page.locator(".thoughts")).to_contain_text("The bise")


def test_who_waits_sees_its_place_in_the_line(chat: Chat) -> None:
    chat.ask("queue everything")
    waiting = chat.page.locator(".reading")
    expect(waiting).to_have_text("Waiting for its turn: number 3 in line…")
    chat.page.reload()
    expect(waiting).to_have_text("Waiting for its turn: number 2 in line…")
    expect(waiting).to_have_text("Reading…")
    chat.answered()


def look_inside(chat: Chat) -> Locator:
    """Ask with figures kept, and open the answer; its words."""
    page = chat.page
    page.get_by_role("button", name="Settings of this chat").click()
    page.get_by_label("Keep how likely each word is").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Settings of this chat (it has its own)")).to_be_visible()
    chat.ask("everything")
    chat.answered()
    page.get_by_role("button", name=LOOK).click()
    words = page.locator(".inspected .word")
    expect(words.first).to_be_visible()
    return words


def test_a_word_tells_how_likely_it_was_and_what_else_could_have_stood_there(chat: Chat) -> None:
    page = chat.page
    words = look_inside(chat)
    word = words.filter(has_text=re.compile("^Plateau$"))
    word.click()
    figures = page.locator(".figures")
    expect(figures).to_contain_text(re.compile(r"Plateau \d+\s?%"))
    expect(figures).to_contain_text("Written in 2 pieces")
    expect(figures.locator("ol").first.locator("li")).to_have_count(4)
    assert violations(page) == []
    page.keyboard.press("ArrowRight")
    expect(figures.locator("strong")).to_have_text(",")
    page.keyboard.press("Escape")
    expect(figures).to_have_count(0)
    word.click()
    expect(figures).to_be_visible()
    page.locator("header.top").click()  # anywhere else
    expect(figures).to_have_count(0)
    page.get_by_role("button", name=LOOK).click()
    expect(page.locator(".inspected")).to_have_count(0)


def test_looking_inside_shows_the_same_text_in_the_same_form(chat: Chat) -> None:
    page = chat.page
    words = look_inside(chat)
    inspected = page.locator(".inspected .markdown")
    expect(inspected.locator(".katex")).to_have_count(2)
    assert inspected.get_by_role("cell").count() == 8
    assert inspected.locator("ol > li").count() == 3
    assert inspected.locator("pre code").inner_text().startswith("def strongest")
    assert words.filter(has_text=re.compile("^strongest$")).count() == 1
    page.get_by_role("button", name=LOOK).click()
    plain = re.sub(r"\s+", "", page.locator(".answer .markdown").inner_text()).replace("python", "", 1)
    page.get_by_role("button", name=LOOK).click()
    expect(words.first).to_be_visible()
    assert re.sub(r"\s+", "", inspected.inner_text()) == plain


def test_words_stand_where_they_say(chat: Chat) -> None:
    """Each word's place in the answer's text holds that word."""
    look_inside(chat)
    placed = chat.page.locator(".inspected .word").evaluate_all(
        "words => words.map(word => [word.textContent, Number(word.dataset.from), Number(word.dataset.to)])"
    )
    (conversation,) = chat.room.ask("GET", "/api/conversations")["conversations"]
    text = chat.room.ask("GET", f"/api/conversations/{conversation['id']}")["messages"][1]["content"]
    assert len(placed) > 150
    assert [word for word, start, end in placed if text[start:end] != word] == []


def test_words_are_reached_by_keyboard_alone(chat: Chat) -> None:
    page = chat.page
    words = look_inside(chat)
    page.get_by_role("button", name=LOOK).focus()
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if page.evaluate("document.activeElement.classList.contains('word')"):
            break
    expect(words.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".figures strong")).to_have_text("A")
    page.keyboard.press("End")
    expect(words.last).to_be_focused()
    expect(page.locator(".figures strong")).to_have_text(words.last.inner_text())


def test_an_answer_without_figures_says_why_and_keeps_them_from_then_on(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    page.get_by_role("button", name=LOOK).click()
    expect(page.locator(".answer")).to_contain_text("it was not kept how likely its words were")
    assert violations(page) == []
    page.get_by_role("button", name="Keep it for the next answers of this chat").click()
    expect(page.get_by_role("button", name="Settings of this chat (it has its own)")).to_be_visible()
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".branches")).to_contain_text("Version 2 of 2")
    chat.answered()
    page.get_by_role("button", name=LOOK).click()
    expect(page.locator(".inspected .word").first).to_be_visible()


def test_a_model_that_tells_no_probabilities_is_said_to(chat: Chat, elsewhere: str) -> None:
    page = chat.page
    page.reload()
    page.get_by_label("Model", exact=True).select_option(elsewhere)
    chat.ask("Hello")
    chat.answered()
    page.get_by_role("button", name=LOOK).click()
    expect(page.locator(".answer")).to_contain_text("far-model does not tell how likely its words are.")
    page.get_by_role("button", name="Settings of this chat").click()
    expect(page.get_by_label("Keep how likely each word is")).to_be_disabled()


def test_a_chat_has_settings_of_its_own_that_can_be_reset(chat: Chat) -> None:
    page = chat.page
    page.get_by_role("button", name="Settings of this chat").click()
    dialog = page.get_by_role("dialog")
    assert violations(page) == []
    dialog.get_by_label("System prompt").fill("Answer in rhymes.")
    expect(dialog.get_by_label("Temperature")).to_have_attribute("placeholder", "0.3")
    dialog.get_by_label("Temperature").fill("0.9")
    dialog.get_by_label("Seed").fill("7")
    dialog.get_by_label("Longest answer").fill("0")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_be_visible()  # the browser names the field that is wrong
    dialog.get_by_label("Longest answer").fill("")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog).to_have_count(0)
    chat.ask("Hello")
    chat.answered()
    (conversation,) = chat.room.ask("GET", "/api/conversations")["conversations"]
    wanted = {"system_prompt": "Answer in rhymes.", "parameters": {"temperature": 0.9, "seed": 7}}
    assert conversation["settings"] == wanted | {"keeps_probabilities": False}
    page.reload()
    page.get_by_role("button", name="Settings of this chat (it has its own)").click()
    expect(dialog.get_by_label("System prompt")).to_have_value("Answer in rhymes.")
    dialog.get_by_role("button", name="Reset").click()
    dialog.get_by_role("button", name="Save").click()
    expect(page.get_by_role("button", name="Settings of this chat", exact=True)).to_be_visible()
    (conversation,) = chat.room.ask("GET", "/api/conversations")["conversations"]
    assert conversation["settings"] == {"system_prompt": None, "parameters": {}, "keeps_probabilities": False}


class TestPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"locale": "de-DE", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

    @pytest.mark.usefixtures("elsewhere")
    def test_nothing_scrolls_sideways(self, chat: Chat) -> None:
        """With two models to choose from, the settings open, and the figures of a word at the edge."""
        page = chat.page
        page.reload()
        width = "() => Math.max(...['html', 'main', '.top', 'dialog'].map(name => document.querySelector(name)?.scrollWidth ?? 0))"
        page.get_by_role("button", name="Einstellungen dieses Chats").tap()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        assert page.evaluate(width) <= 390
        assert page.evaluate(
            "() => { const d = document.querySelector('dialog'); return d.scrollWidth <= d.clientWidth; }"
        )
        assert violations(page) == []
        dialog.get_by_label("Aufbewahren, wie wahrscheinlich").check()
        dialog.get_by_role("button", name="Speichern").tap()
        page.get_by_role("textbox").fill("everything")
        page.get_by_role("button", name="Senden").tap()
        chat.answered()
        page.get_by_role("button", name="Hineinschauen").tap()
        page.locator(".word").filter(has_text=re.compile("^Plateau$")).tap()
        expect(page.locator(".figures code").first).to_contain_text("Plat")
        assert page.evaluate(width) == 390
