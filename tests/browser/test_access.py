"""For everybody: automatic rules of accessibility, keyboard, announcements, small screens, both themes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Chat

pytestmark = [pytest.mark.browser, pytest.mark.slow]
AXE = ROOT / "build/axe.min.js"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

# Two frames, and what was just changed, or moves or closes as the window changes, has done so or is on its way; then that
# is waited for, since a colour on its way to another may have too little contrast.
SETTLED = """async () => {
    for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
    await new Promise(done => setTimeout(done));
    const changing = document.getAnimations().filter(animation => animation instanceof CSSTransition);
    await Promise.allSettled(changing.map(({ finished }) => finished));
}"""


def violations(page: Page, rules: Sequence[str] = RULES) -> list[str]:
    """What axe-core finds when nothing changes any more; run by the debugger, because the page forbids foreign scripts."""
    assert AXE.exists(), "The client's build for tests is missing. Type: make web"
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(SETTLED)
    found = page.evaluate("rules => axe.run({ runOnly: rules })", list(rules))["violations"]
    return [f"{each['id']}: {node['html']} {node['failureSummary']}" for each in found for node in each["nodes"]]


@pytest.mark.parametrize("theme", ["light", "dark"])
class TestThemes:
    @pytest.fixture
    def context_options(self, theme: str) -> dict[str, Any]:
        return {"locale": "en-GB", "color_scheme": theme, "reduced_motion": "reduce"}

    def test_no_rule_of_accessibility_is_broken(self, chat: Chat, theme: str) -> None:
        page = chat.page
        assert page.evaluate(f"matchMedia('(prefers-color-scheme: {theme})').matches")
        expect(page.locator(".welcome")).to_be_visible()
        assert violations(page) == []
        chat.ask("everything")
        chat.answered()
        assert violations(page) == []
        page.get_by_role("navigation").get_by_role("button", name="everything", exact=True).hover()
        page.get_by_role("button", name="Rename “everything”").click()
        expect(page.get_by_role("dialog", name="Rename or move")).to_be_visible()
        assert violations(page) == []
        page.keyboard.press("Escape")
        page.get_by_role("button", name="bise-demo").click()
        expect(page.get_by_role("dialog")).to_contain_text("A demonstration model for tests.")
        assert violations(page) == []
        page.keyboard.press("Escape")
        chat.ask("fail everything")
        expect(page.locator(".trouble")).to_be_visible()
        assert violations(page) == []

    def test_the_chosen_theme_is_remembered(self, chat: Chat, theme: str) -> None:
        page = chat.page
        other = "dark" if theme == "light" else "light"
        paper = "getComputedStyle(document.body).backgroundColor"
        expect(page.locator(".welcome")).to_be_visible()
        before = page.evaluate(paper)
        page.get_by_label("Theme").select_option(other)
        after = page.evaluate(paper)
        assert before != after
        page.reload()
        assert page.evaluate(paper) == after
        page.get_by_label("Theme").select_option("system")
        assert page.evaluate(paper) == before


class TestPhone:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"locale": "en-GB", "viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

    def test_nothing_scrolls_sideways_and_the_drawer_opens(self, chat: Chat) -> None:
        page = chat.page
        page.get_by_label("Message", exact=True).fill("everything")
        page.get_by_role("button", name="Send").tap()
        chat.answered()
        wide = """() => [...document.querySelectorAll("html, body, main, .scroller, .messages")]
            .filter(element => element.scrollWidth > element.clientWidth).map(element => element.className)"""
        assert page.evaluate(wide) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        expect(page.get_by_role("navigation")).to_have_count(0)
        page.get_by_role("button", name="Show conversations").tap()
        expect(page.get_by_role("button", name="Hide conversations")).to_be_focused()
        assert violations(page) == []
        page.keyboard.press("Escape")
        expect(page.get_by_role("navigation")).to_have_count(0)
        expect(page.get_by_role("button", name="Show conversations")).to_be_focused()

    def test_the_longest_language_leaves_the_whole_header_in_view(self, chat: Chat) -> None:
        page = chat.page
        page.get_by_role("button", name="Show conversations").tap()
        page.get_by_label("Language").select_option("de")
        page.keyboard.press("Escape")
        expect(page.get_by_role("button", name="Temporärer Chat")).to_be_visible()
        right = "element => [...element.children].map(child => Math.ceil(child.getBoundingClientRect().right))"
        assert max(page.locator("header.top").evaluate(right)) <= 390

    def test_enter_breaks_the_line(self, chat: Chat) -> None:
        field = chat.page.get_by_label("Message", exact=True)
        field.fill("one")
        field.press("Enter")
        expect(field).to_have_value("one\n")


SENTENCES = (
    "A north wind",
    "The bise blows over the Swiss Plateau, between the Jura and the Alps, when high pressure lies in the north.",
    "A gust of speed formula presses on a wall with",
    "formula",
    "and warms nobody.",
    "People there know three things about it:",
    "It is dry and cold.",
    "It lasts for days:",
    "one, three, or",
    "as the saying goes, nine.",
    "It costs nothing: neither $5 nor $10.",
    "Table, rows: 2.",
    "Code block, lines: 3.",
    "La bise vient, la bise va.",
    "It is also the word for a kiss on the cheek.",
)
LISTEN = """() => {
    window.spoken = [];
    window.outside = [];
    new MutationObserver(changes => {
        for (const change of changes) {
            const region = change.target.parentElement?.closest("[role=status], [role=alert], [aria-live]");
            if (region) window.outside.push(region.textContent);
            if (!change.target.matches?.("[role=status], [role=alert], [aria-live]")) continue;
            for (const node of change.addedNodes)
                window.spoken.push([performance.now(), [...node.querySelectorAll("p")].map(each => each.textContent)]);
        }
    }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


class TestAnnouncements:
    """What the live region held at any time while an answer came in pieces of seven characters."""

    def test_begin_end_and_whole_sentences_at_a_pace_that_can_be_followed(self, chat: Chat) -> None:
        chat.page.evaluate(LISTEN)
        chat.ask("slow everything")
        chat.answered()
        expect(chat.page.get_by_role("status").filter(has_text="The answer is complete.")).to_be_attached()
        spoken = chat.page.evaluate("window.spoken")
        told = [sentence for _, sentences in spoken for sentence in sentences]
        assert told == ["Bise is answering.", *SENTENCES, "The answer is complete."]
        assert len(spoken) >= 4, "it is told while the answer comes"
        times = [at for at, _ in spoken]
        assert all(later - earlier >= 1400 for earlier, later in pairwise(times))
        assert chat.page.evaluate("window.outside") == []  # no element in the region was ever changed, as by tokens

    def test_a_stopped_answer_leaves_no_part_of_a_sentence(self, chat: Chat) -> None:
        chat.page.evaluate(LISTEN)
        chat.ask("slow everything")
        status = chat.page.get_by_role("status")
        expect(status.filter(has_text=SENTENCES[0])).to_be_attached()
        chat.page.keyboard.press("Escape")
        expect(status.filter(has_text="The answer was stopped.")).to_be_attached()
        told = [sentence for _, sentences in chat.page.evaluate("window.spoken") for sentence in sentences]
        heard = told[1:-1]
        assert 1 <= len(heard) < len(SENTENCES)
        assert tuple(heard) == SENTENCES[: len(heard)]


def test_everything_can_be_reached_by_keyboard_and_shows_where_it_is(chat: Chat) -> None:
    page = chat.page
    chat.ask("everything")
    chat.answered()
    page.reload()
    chat.answered()
    page.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        label, shown = page.evaluate(
            """() => {
                const element = document.activeElement, style = getComputedStyle(element);
                const frame = element.matches("textarea") ? getComputedStyle(element.closest("form")) : style;
                return [element.getAttribute("aria-label") || element.textContent.slice(0, 30),
                        element === document.body || frame.outlineStyle !== "none"];
            }"""
        )
        assert shown, label
        reached.append(label)
    for name in ("Skip to the message field", "New chat", "Rename “everything”", "Delete “everything”", "Messages"):
        assert name in reached
    for name in ("Copy message", "Copy code", "python", "Table", "kiss", "bise-demo"):
        assert name in reached


def test_where_a_button_goes_the_message_field_takes_the_focus(chat: Chat) -> None:
    """Then Escape still stops the answer, and the next question can be typed."""
    page, field = chat.page, chat.page.get_by_label("Message", exact=True)
    page.get_by_role("button", name="Hello! Who are you?").click()
    expect(field).to_be_focused()
    chat.answered()
    page.get_by_role("button", name="Answer again").click()
    expect(field).to_be_focused()
    expect(page.locator(".branches")).to_contain_text("Version 2 of 2")
    chat.answered()
    page.locator(".question").hover()
    page.get_by_role("button", name="Ask differently").click()
    page.get_by_label("Ask differently").fill("slow everything")
    page.keyboard.press("Enter")
    expect(field).to_be_focused()
    expect(page.locator(".answer .markdown")).to_contain_text("north")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Continue").click()
    expect(field).to_be_focused()
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Continue")).to_be_visible()
    page.get_by_role("button", name="Your data").click()
    expect(page.get_by_role("button", name="Your data")).to_be_focused()


def test_a_field_has_one_ring(chat: Chat) -> None:
    """The ring of a field lies on its frame: beside it, there would be two."""
    expect(chat.page.locator(".welcome")).to_be_visible()
    chat.page.keyboard.press("Control+K")
    field = chat.page.get_by_role("combobox", name="Search your conversations")
    expect(field).to_be_focused()
    ring, width, frame = field.evaluate(
        "field => { const s = getComputedStyle(field);"
        " return [s.outlineOffset, s.outlineWidth, s.borderTopWidth].map(parseFloat); }"
    )
    assert width > 0
    assert ring == -frame
