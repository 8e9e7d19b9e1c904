"""Every page and everything that opens, in five languages, in the light and in the dark, wide and on a phone.

A tour goes through the application and stops wherever something new can be seen. At each stop the language and the theme
are changed in place: no rule of accessibility may be broken, and German, the longest, may be cut nowhere on a phone. What
the client's sources say can be opened must have been on the tour.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ROOT, Chat, Server
from tests.browser.test_access import SETTLED, violations
from tests.browser.test_glass_box import LOOK, look_inside
from tests.browser.test_people import PASSWORD, fill, sign_in
from tests.command import succeed

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
LANGUAGES = ("fr", "es", "it", "de", "en")
WIDE, PHONE = {"width": 1200, "height": 800}, {"width": 390, "height": 844}
PROJECT = "Weather in the mountains and on the lakes"
SPEAK = """language => {
    const select = [...document.querySelectorAll(".preferences select")].at(-1);
    select.value = language;
    select.dispatchEvent(new Event("change", { bubbles: true }));
}"""
CUT = """() => {
    const frame = element => {
        const up = element.parentElement;
        return up && (/auto|scroll/.test(getComputedStyle(up).overflowX) && up.scrollWidth > up.clientWidth ? up : frame(up));
    };
    const isCut = element => {
        const style = getComputedStyle(element);
        if (style.display === "inline" || style.textOverflow === "ellipsis" || /auto|scroll/.test(style.overflowX)) return false;
        const out = element.getBoundingClientRect().right > innerWidth + 1 && !frame(element);
        return out || element.scrollWidth > element.clientWidth + 1;
    };
    const hasText = element => [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    const elsewhere = ".unseen, .skip, .katex, [inert], select, textarea, title";
    return [...document.querySelectorAll("body *")]
        .filter(each => hasText(each) && each.checkVisibility({ visibilityProperty: true }) && !each.closest(elsewhere))
        .filter(isCut)
        .map(each => each.outerHTML.slice(0, 120));
}"""


def what_can_be_opened() -> set[str]:
    """The parts of the client that are fetched when they are first drawn, and those that open a dialog."""
    texts = {file.stem: file.read_text(encoding="utf-8") for file in (ROOT / "web/src").glob("*.tsx")}
    fetched = {name for text in texts.values() for name in re.findall(r'onDemand\(\(\) => import\("\./(\w+)"\)', text)}
    dialogs = {name for name, text in texts.items() if re.search(r"<(Dialog|Confirm)\b", text)}
    return (fetched | dialogs) - {"Confirm"}  # which is nothing by itself


def speak_in_place(page: Page, language: str) -> None:
    page.evaluate(SPEAK, language)
    expect(page.locator("html")).to_have_attribute("lang", language)


def speak_anew(page: Page, language: str) -> None:
    """Where the page has nothing to choose a language by."""
    page.evaluate("language => localStorage.setItem('bise.language', language)", language)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def broken(page: Page, stop: str, speak: Callable[[Page, str], None]) -> list[str]:
    """What is wrong with what is open; it stays open, and speaks English in the end."""
    found = []
    for language in LANGUAGES:
        speak(page, language)
        found += [f"{stop}, {language}: {each}" for each in violations(page)]
        if language == "de":
            page.emulate_media(color_scheme="dark")  # once: colours know no language
            found += [f"{stop}, dark: {each}" for each in violations(page)]
            page.emulate_media(color_scheme="light")
            page.set_viewport_size(PHONE)
            page.evaluate(SETTLED)
            found += [f"{stop}, cut: {each}" for each in page.evaluate(CUT)]
            found += [f"{stop}, phone: {each}" for each in violations(page)]
            width = page.evaluate("document.documentElement.scrollWidth")
            found += [f"{stop}, {width} pixels wide"] if width > PHONE["width"] else []
            page.set_viewport_size(WIDE)
    return found


class TestEveryPage:
    @pytest.fixture
    def context_options(self) -> dict[str, Any]:
        return {"locale": "en-GB", "color_scheme": "light", "viewport": WIDE, "reduced_motion": "reduce"}

    def test_breaks_no_rule_in_any_language_and_cuts_nothing(
        self, chat: Chat, server: Server, browser: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BISE_HOME", str(server.home))
        context = browser.new_context(locale="en-GB", viewport=WIDE, reduced_motion="reduce")
        page = context.new_page()
        found, stops = [], set()
        for tour, shown, speak in (
            (conversing(chat), chat.page, speak_in_place),
            (looking_closer(chat), chat.page, speak_in_place),
            (keeping(chat), chat.page, speak_in_place),
            (strangers(chat, page), page, speak_anew),
            (coming_in(server, page), page, speak_anew),
            (administering(page), page, speak_in_place),
        ):
            for stop in tour:
                stops.add(stop)
                found += broken(shown, stop, speak)
        context.close()
        assert found == []
        assert what_can_be_opened() - stops == set(), "nobody has looked at these"


def conversing(chat: Chat) -> Iterator[str]:
    """What a conversation shows."""
    page = chat.page
    expect(page.locator(".demonstration")).to_be_visible()
    yield "the first visit"
    pressed(page, "Temporary chat")
    yield "a temporary chat"
    pressed(page, "Temporary chat")
    chat.ask("think everything")
    chat.answered()
    page.locator(".thinking-line").click()
    expect(page.locator(".katex").first).to_be_attached()
    expect(page.locator("pre .hljs-keyword, pre [class*=hljs]").first).to_be_attached()
    yield "formulas, a table, code and thoughts"
    pressed(page, "Answer again")
    expect(page.locator(".branches")).to_contain_text("Version 2 of 2")
    chat.answered()
    pressed(page, "A bad answer")
    expect(page.locator(".reasons")).to_be_visible()
    yield "an answer that is judged"
    pressed(page, "Done")
    page.locator(".question").hover()
    pressed(page, "Ask differently")
    pressed(page, "Edit into a better answer")
    expect(page.locator(".editor")).to_have_count(2)
    yield "a question and an answer that are edited"
    for _ in range(2):
        pressed(page, "Cancel")
    pressed(page, "Found in the training data")
    expect(page.locator(".found")).to_be_visible()
    yield "TrainingData"
    chat.ask("fail everything")
    expect(page.locator(".trouble")).to_be_visible()
    yield "an answer that failed"
    chat.ask("slow everything")
    expect(page.locator(".answer .markdown").last).to_contain_text("north")
    page.keyboard.press("Escape")
    expect(page.locator(".ended")).to_be_visible()
    yield "an answer that was stopped"


def looking_closer(chat: Chat) -> Iterator[str]:
    """What opens beside an answer: its words, how it was asked, the model, a link."""
    page = chat.page
    pressed(page, "New chat")
    words = look_inside(chat)
    words.filter(has_text=re.compile("^Plateau$")).click()
    expect(page.locator(".figures")).to_be_visible()
    yield "LookInside"
    page.keyboard.press("Escape")
    pressed(page, LOOK)
    for name, stop in (("Settings of this chat (it has its own)", "SettingsDialog"), ("bise-demo", "AboutModel")):
        pressed(page, name)
        yield opened(page, stop)
        closed(page)
    pressed(page, "Share by link")
    yield opened(page, "ShareConversation")
    pressed(page, "Make the link")
    expect(page.get_by_label("Link", exact=True)).to_be_visible()
    yield "a link that was made"
    closed(page)


def keeping(chat: Chat) -> Iterator[str]:
    """What finds, orders, takes away and learns; a project, and every page beside the conversations."""
    page, navigation = chat.page, chat.page.get_by_role("navigation")
    page.keyboard.press("Control+K")
    page.keyboard.type("lake")
    expect(page.get_by_role("dialog").get_by_role("option").first).to_be_visible()
    yield opened(page, "SearchDialog")
    closed(page)
    pressed(page, "New project")
    fill(page, Name=PROJECT)
    yield opened(page, "FolderDialog")
    page.keyboard.press("Enter")
    title = "think everything"
    navigation.get_by_role("button", name=title, exact=True).hover()
    pressed(page, f"Rename “{title}”")
    yield opened(page, "RenameConversation")
    page.get_by_role("dialog").get_by_role("combobox").select_option(label=PROJECT)
    pressed(page, "Save")
    navigation.get_by_role("button", name=PROJECT, exact=True).click()
    navigation.get_by_role("button", name=title, exact=True).click()
    expect(page.locator(".folder-name")).to_be_visible()
    yield "a conversation in a project"
    navigation.get_by_role("button", name="everything", exact=True).hover()
    pressed(page, "Delete “everything”")
    expect(page.locator(".row-deleted")).to_be_visible()
    yield "a conversation that can be had back"
    pressed(page, "Recently deleted")
    expect(page.locator(".holding-list li")).to_have_count(1)
    yield "Deleted"
    page.get_by_role("button", name="Erase now").click()
    yield opened(page, "the question before erasing one")
    closed(page)
    pressed(page, "Your data")
    expect(page.locator(".tally").first).to_be_visible()
    yield "YourData"
    pressed(page, "Erase everything")
    yield opened(page, "EraseEverything")
    closed(page)
    pressed(page, "Learn from my corrections")
    expect(page.locator(".feedback-list li").first).to_be_visible()
    yield "Learn"
    navigation.get_by_role("button", name=title, exact=True).click()
    chat.room.kill()
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".banner")).to_contain_text("cannot be reached")
    yield "Bise is away"
    chat.room.start()
    expect(page.locator(".banner")).to_have_count(0)
    # But for the browser's own notes of the broken line.
    chat.console[:] = [text for text in chat.console if "ERR_" not in text]


def strangers(chat: Chat, page: Page) -> Iterator[str]:
    """What somebody sees who is not in: a link, one that was taken back, and a page without its key."""
    conversation = chat.room.ask("GET", "/api/conversations")["conversations"][0]["id"]
    token = chat.room.ask("POST", f"/api/conversations/{conversation}/shares", {})["token"]
    page.goto(f"{chat.room.root}/share#{token}")
    expect(page.locator(".shared .katex").first).to_be_attached()
    yield "Shared"
    page.goto(f"{chat.room.root}/share#nothing")
    page.reload()
    yield "a link that shows nothing"
    page.goto(chat.room.root)
    yield "a page without its key"


def coming_in(server: Server, page: Page) -> Iterator[str]:
    """The door of a server with accounts: the first admin's, everybody's, and that of the invited."""
    page.goto(server.root)
    expect(page.get_by_label("Code")).to_be_visible()
    yield "Door"
    fill(page, Code=server.code, Name="ada", Password=PASSWORD)
    pressed(page, "Make an account")
    expect(page.locator(".welcome")).to_be_visible()
    page.context.clear_cookies()
    page.goto(server.root)
    sign_in(page, "ada", "a wrong password")
    expect(page.get_by_role("alert")).to_be_visible()
    yield "signing in"
    page.goto("about:blank")
    page.goto(succeed("admin", "users", "invite", "--url", server.root).strip())
    expect(page.get_by_role("heading", name="Make an account")).to_be_visible()
    yield "signing up"
    page.goto(server.root)
    page.reload()
    sign_in(page, "ada")
    expect(page.locator(".welcome")).to_be_visible()


def administering(page: Page) -> Iterator[str]:
    """One's account, and all that an admin sees."""
    pressed(page, "ada")
    expect(page.locator(".rows li").first).to_be_visible()
    yield "Account"
    pressed(page, "Administration")
    expect(page.locator("tbody tr").first).to_be_visible()
    yield "Admin"
    pressed(page, "Limits of everybody without own ones")
    yield opened(page, "AdminLimits")
    closed(page)
    pressed(page, "Invite")
    yield opened(page, "AdminPeople")
    closed(page)
    fill(page, Source="ollama:none-such", Name_here="small")
    pressed(page, "Add")
    expect(page.get_by_text("small could not be added.")).to_be_visible(timeout=60_000)
    yield "AdminModels"


def pressed(page: Page, name: str) -> None:
    """Press the last button of that name; those of a dialog and of the last answer come last."""
    page.get_by_role("button", name=name, exact=True).last.click()


def opened(page: Page, stop: str) -> str:
    """A stop at a dialog."""
    expect(page.get_by_role("dialog")).to_be_visible()
    return stop


def closed(page: Page) -> None:
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
