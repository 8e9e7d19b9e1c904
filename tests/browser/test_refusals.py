"""What was refused or failed says why in the language of the page, also long after, and also when that changes."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Chat

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def context_options() -> dict[str, Any]:
    return {"locale": "de-DE", "viewport": {"width": 1200, "height": 800}}


def test_a_failed_answer_says_why_in_each_language(chat: Chat) -> None:
    page = chat.page
    page.get_by_label("Nachricht", exact=True).fill("fail everything")
    page.keyboard.press("Enter")
    trouble = page.locator(".answer .trouble")
    expect(trouble).to_contain_text("Das Modell wurde beim Antworten unterbrochen und startet gerade neu.")
    page.get_by_label("Sprache").select_option("fr")
    expect(trouble).to_contain_text("Le modèle a été interrompu pendant sa réponse et redémarre.")
    page.reload()
    expect(trouble).to_contain_text("Le modèle a été interrompu pendant sa réponse et redémarre.")
    page.get_by_label("Langue").select_option("en")
    expect(trouble).to_contain_text("The engine stopped answering.")


def test_a_refusal_in_a_dialog_says_why(chat: Chat) -> None:
    page = chat.page
    page.get_by_label("Nachricht", exact=True).fill("hello")
    page.keyboard.press("Enter")
    chat.answered()
    row = page.get_by_role("navigation").get_by_role("button", name="hello", exact=True)
    row.hover()
    page.get_by_role("button", name="„hello“ umbenennen").click()
    page.get_by_role("dialog").get_by_label("Titel").fill("another")
    (conversation,) = chat.room.ask("GET", "/api/conversations")["conversations"]
    chat.room.ask("DELETE", f"/api/conversations/{conversation['id']}")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_role("alert")).to_have_text(
        "Das gibt es hier nicht mehr. Vielleicht wurde es gelöscht."
    )
    assert all("Failed to load resource" in text for text in chat.console)
    chat.console.clear()


def test_being_away_first_takes_no_language_from_what_is_refused_later(chat: Chat) -> None:
    page = chat.page
    expect(page.locator(".welcome")).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.get_by_label("Nachricht", exact=True).fill("fail everything")
    page.keyboard.press("Enter")
    expect(page.locator(".trouble")).to_contain_text("Bise ist nicht erreichbar")
    page.context.set_offline(False)
    page.locator(".trouble").get_by_role("button", name="Erneut versuchen").click()
    expect(page.locator(".answer .trouble")).to_contain_text("Das Modell wurde beim Antworten unterbrochen")
    assert all("Failed to load resource" in text for text in chat.console)
    chat.console.clear()
