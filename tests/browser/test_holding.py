"""What is kept and taken away: deleting with undo, the page of the deleted, taking everything along, bringing it in."""

import json
import re
import shutil
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Chat, Room
from tests.browser.test_access import violations

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DELETED = {
    "en-GB": "Recently deleted",
    "de-DE": "Zuletzt gelöscht",
    "fr-FR": "Supprimées récemment",
    "es-ES": "Eliminadas recientemente",
    "it-IT": "Eliminate di recente",
}


def begin(room: Room, *questions: str) -> list[str]:
    """Conversations with one question each, by the interface; their ids."""
    ids = [room.ask("POST", "/api/conversations", {})["id"] for _ in questions]
    for each, question in zip(ids, questions, strict=True):
        room.ask("POST", f"/api/conversations/{each}/messages", {"content": question, "client_id": "c1"})
    return ids


def test_deleting_is_undone_in_place_with_the_keyboard_alone(chat: Chat) -> None:
    page = chat.page
    for question in ("Hello", "everything"):
        chat.ask(question)
        chat.answered()
        page.keyboard.press("Control+Shift+O")
    page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True).focus()
    for _ in ("pin", "rename", "delete"):
        page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Delete “Hello”")).to_be_focused()
    page.keyboard.press("Enter")
    undo = page.get_by_role("button", name="Undo deleting “Hello”")
    expect(undo).to_be_focused()
    expect(page.get_by_role("status").filter(has_text="Deleted.")).to_be_attached()
    assert [each["title"] for each in chat.room.ask("GET", "/api/conversations")["conversations"]] == ["everything"]
    assert violations(page) == []
    titles = page.locator(".list li").all_inner_texts()
    page.keyboard.press("Enter")
    row = page.get_by_role("navigation").get_by_role("button", name="Hello", exact=True)
    expect(row).to_be_focused()
    assert [title.split()[0] for title in titles] == ["everything", "“Hello”"]
    page.keyboard.press("Enter")
    chat.answered()
    expect(page.locator(".bubble")).to_have_text("Hello")


def test_what_was_deleted_is_restored_or_erased_on_its_page(chat: Chat) -> None:
    page, room = chat.page, chat.room
    room.ask("DELETE", "/api/deleted")
    page.wait_for_load_state("networkidle")  # else it may ask for what is about to be deleted
    for each in begin(room, "first", "second", "third", "fourth"):
        room.ask("DELETE", f"/api/conversations/{each}")
    page.get_by_role("button", name="Recently deleted").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recently deleted")
    expect(page.locator(".lead")).to_contain_text("30 days")
    expect(page.locator(".holding-list li")).to_have_count(4)
    page.get_by_role("button", name="Restore: “second”").click()
    expect(page.get_by_role("navigation").get_by_role("button", name="second", exact=True)).to_be_visible()
    expect(page.locator(".holding-list li")).to_have_count(3)
    expect(page.locator(".lead")).to_be_focused()
    page.get_by_role("button", name="Erase now: “third”").click()
    expect(page.get_by_role("dialog")).to_contain_text("“third” and all its messages will be erased")
    page.keyboard.press("Escape")
    expect(page.locator(".holding-list li")).to_have_count(3)
    page.get_by_role("button", name="Erase now: “third”").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase now").click()
    expect(page.locator(".holding-list li")).to_have_count(2)
    page.get_by_role("button", name="Erase all now").click()
    page.get_by_role("dialog").get_by_role("button", name="Erase now").click()
    expect(page.locator(".lead")).to_contain_text("Nothing has been deleted lately")
    assert room.ask("GET", "/api/deleted")["conversations"] == []
    assert [each["title"] for each in room.ask("GET", "/api/conversations")["conversations"]] == ["second"]


def hostile(number: int) -> dict[str, Any]:
    """A conversation as ChatGPT exports it, with a canary in every text."""
    canary = f"<img src=x onerror=\"window.broken='{number}'\"><script>window.broken=1</script>[x](javascript:window.broken=2)"
    content = {"content_type": "text", "parts": [f"canary {canary}"]}
    mapping = {
        "q": {"message": {"author": {"role": "user"}, "content": content}, "parent": None, "children": ["a"]},
        "a": {
            "message": {"author": {"role": "assistant"}, "content": content, "metadata": {"model_slug": canary}},
            "parent": "q",
        },
    }
    return {"title": f"{number} {canary}", "conversation_id": str(number), "mapping": mapping, "current_node": "a"}


def test_others_conversations_are_brought_in_and_stay_text(chat: Chat, tmp_path: Path) -> None:
    page, file = chat.page, tmp_path / "conversations.json"
    bad = {"format": "bise-conversation", "version": 9, "title": hostile(3)["title"]}
    file.write_text(json.dumps([hostile(1), hostile(2), bad]))
    page.get_by_role("button", name="Your data").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your data")
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.locator(".import-result")).to_be_focused()
    expect(page.locator(".import-result")).to_contain_text(
        "Conversations brought in2Messages in them4Here already0Refused1"
    )
    expect(page.locator(".refusals")).to_contain_text("version is 9")
    assert violations(page) == []
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.locator(".import-result")).to_contain_text("Here already2")
    rows = page.locator(".list .row")
    expect(rows).to_have_count(2)
    for row in rows.all():
        row.click()
        expect(page.locator(".answer .markdown")).to_contain_text("canary")
        expect(page.locator(".answer .markdown").locator("img, script, a[href^=javascript]")).to_have_count(0)
    page.goto(f"{chat.room.root}/#data")
    expect(page.locator(".import-result")).to_contain_text("Here already")
    assert page.evaluate("window.broken") is None


def test_a_file_that_is_none_gets_a_sentence(chat: Chat, tmp_path: Path) -> None:
    page, file = chat.page, tmp_path / "conversations.json"
    file.write_bytes(b"PK\x03\x04 no zip file at all")
    page.goto(f"{chat.room.root}/#data")
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.locator(".import-result")).to_contain_text("The zip file is damaged")
    assert violations(page) == []


def test_everything_is_taken_along_and_brought_in_again(chat: Chat, tmp_path: Path) -> None:
    page, file = chat.page, tmp_path / "bise.zip"
    chat.ask("everything")
    chat.answered()
    page.get_by_role("button", name="Your data").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download (zip)").click()
    download.value.save_as(file)
    with zipfile.ZipFile(file) as archive:
        assert archive.namelist()[1:] == ["conversations/0001 everything.json", "conversations/0001 everything.md"]
        assert "made by an AI" in archive.read("conversations/0001 everything.md").decode()
    page.get_by_role("navigation").get_by_role("button", name="everything", exact=True).hover()
    page.get_by_role("button", name="Delete “everything”").click()
    expect(page.get_by_role("button", name="Undo deleting “everything”")).to_be_visible()
    page.get_by_label("Choose a file").set_input_files(file)
    expect(page.locator(".import-result")).to_contain_text("Conversations brought in1")
    page.get_by_role("navigation").get_by_role("button", name="everything", exact=True).click()
    chat.answered()


def test_a_link_shows_a_conversation_to_somebody_without_an_account(chat: Chat, browser: Browser) -> None:
    page, room = chat.page, chat.room
    chat.ask("hostile")
    chat.answered()
    page.get_by_role("button", name="Share by link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("region", name="What the link will show")).to_contain_text("Question hostile")
    assert violations(page) == []
    dialog.get_by_role("button", name="Make the link").click()
    link = dialog.get_by_label("Link", exact=True).input_value()
    assert link.startswith(f"{room.root}/share#")
    assert violations(page) == []
    page.keyboard.press("Escape")
    context = browser.new_context(locale="de-DE", viewport={"width": 390, "height": 844})
    stranger, requests = context.new_page(), []
    stranger.on("request", lambda request: requests.append(request.url))
    stranger.goto(link)
    expect(stranger.get_by_role("heading", level=1)).to_have_text("hostile")
    expect(stranger.locator(".shared")).to_contain_text("Die Antworten stammen von einem KI-Modell")
    expect(stranger.locator(".answer")).to_contain_text("The end.")
    assert stranger.locator("meta[name=robots]").get_attribute("content") == "noindex"
    assert stranger.evaluate("window.broken") is None
    mark = stranger.locator(".shared > footer .mark").bounding_box()
    assert mark
    assert mark["width"] < 40
    stranger.set_viewport_size({"width": 390, "height": 200})
    stranger.mouse.move(195, 100)
    stranger.mouse.wheel(0, 20_000)
    expect(stranger.locator(".shared > footer")).to_be_in_viewport()
    stranger.set_viewport_size({"width": 390, "height": 844})
    assert violations(stranger) == []
    assert stranger.evaluate("document.documentElement.scrollWidth") == 390
    assert all(url.startswith(room.root) and link.partition("#")[2] not in url.partition("#")[0] for url in requests)
    page.get_by_role("button", name="Your data").click()
    page.get_by_role("button", name="Take back: “hostile”").click()
    expect(page.locator(".holding")).to_contain_text("There are no links to your conversations.")
    stranger.reload()
    expect(stranger.get_by_role("heading", level=1)).to_contain_text("Dieser Link zeigt nichts")
    context.close()


@pytest.fixture
def learned(chat: Chat) -> Iterator[Path]:
    """A run that learned from the owner's feedback earlier, with its adapter."""
    home = chat.room.home
    with closing(sqlite3.connect(home / "bise.db")) as database:
        (owner,) = database.execute("SELECT id FROM users").fetchone()
    run, adapter = home / "runs/tune/feedback-7", home / "adapters/bise-demo/feedback-7"
    for each in (run, adapter):
        each.mkdir(parents=True)
    (run / "owner.json").write_text(json.dumps({"user": owner, "model": "bise-demo"}))
    (run / "learned.jsonl").write_text("what was said")
    (adapter / "manifest.json").write_text("{}")
    yield run
    for each in (run, adapter):
        shutil.rmtree(each)


def test_what_is_stored_is_told_and_erased_after_a_word_with_a_receipt(chat: Chat, learned: Path) -> None:
    page, room = chat.page, chat.room
    chat.ask("Hello")
    chat.answered()
    page.get_by_label("Message", exact=True).fill("a draft")
    page.get_by_role("button", name="Your data").click()
    figures = page.locator(".tally").first
    expect(figures).to_contain_text("Conversations1")
    expect(figures).to_contain_text("Learning runs with copies of your feedback1")
    expect(page.locator(".holding")).to_contain_text("learned from your feedback: bise-demo:feedback-7. Erasing leaves")
    expect(page.locator(".place")).to_contain_text("bise.db")
    page.get_by_role("button", name="Erase everything").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("button", name="Erase everything")).to_be_disabled()
    assert violations(page) == []
    page.keyboard.type("era")
    page.keyboard.press("Enter")
    expect(dialog).to_be_visible()
    page.keyboard.type("se")
    page.keyboard.press("Enter")
    expect(page.locator(".receipt")).to_be_focused()
    expect(page.locator(".receipt")).to_contain_text("Receipt: everything was erased")
    assert not [name for name in page.locator(".receipt dt").all_inner_texts() if "_" in name], "every count has a name"
    expect(page.locator(".receipt")).to_contain_text("Learning runs with copies of your feedback1")
    expect(page.locator(".receipt")).to_contain_text("learned from your feedback stay: bise-demo:feedback-7")
    assert [path.name for path in learned.iterdir()] == ["owner.json"]
    expect(page.locator(".receipt code")).to_have_text(re.compile("^[0-9a-f]{64}$"))
    expect(figures).to_contain_text("Conversations0")
    expect(page.locator(".list li")).to_have_count(0)
    assert violations(page) == []
    assert (
        room.ask("GET", "/api/deleted")["conversations"] == room.ask("GET", "/api/conversations")["conversations"] == []
    )
    assert "a draft" not in page.evaluate("JSON.stringify(localStorage)")
    page.get_by_role("button", name="New chat").click()
    chat.ask("Hello again")
    chat.answered()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", DELETED)
class TestForEverybody:
    @pytest.fixture
    def context_options(self, theme: str, language: str) -> dict[str, Any]:
        return {"locale": language, "color_scheme": theme, "viewport": {"width": 390, "height": 844}}

    def test_the_pages_break_no_rule_and_fit_a_phone(self, chat: Chat, language: str) -> None:
        page, room = chat.page, chat.room
        page.wait_for_load_state("networkidle")  # else it may ask for what is about to be deleted
        for each in begin(room, "A long question about " + "everything " * 8):
            room.ask("DELETE", f"/api/conversations/{each}")
        page.goto(f"{room.root}/#deleted")
        expect(page.get_by_role("heading", level=1)).to_have_text(DELETED[language])
        expect(page.locator(".holding-list li").first).to_be_visible()
        for place in ("deleted", "data"):
            page.goto(f"{room.root}/#{place}")
            expect(page.locator(".holding")).to_be_visible()
            assert violations(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") == 390
