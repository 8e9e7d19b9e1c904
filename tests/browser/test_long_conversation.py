"""A long conversation opens at its end at once, and the rest is drawn without moving what is read."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Chat

pytestmark = [pytest.mark.browser, pytest.mark.slow]
NUM_TURNS = 24


def test_it_opens_at_its_end_and_nothing_moves_while_the_rest_is_drawn(chat: Chat) -> None:
    room, page = chat.room, chat.page
    conversation = room.ask("POST", "/api/conversations", {})["id"]
    path = f"/api/conversations/{conversation}"
    for turn in range(NUM_TURNS):
        room.ask("POST", f"{path}/messages", {"content": f"Question {turn}", "client_id": f"c{turn}"})
        while room.ask("GET", path)["generating"]:
            page.wait_for_timeout(20)
    page.reload()  # what a page has seen of a conversation it shows at once, and then what came since
    page.evaluate(
        """() => {
            window.seen = [];
            const look = () => {
                const turns = document.querySelectorAll(".turn");
                if (turns.length) window.seen.push([turns.length, Math.round([...turns].at(-1).getBoundingClientRect().bottom)]);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    page.evaluate("id => { location.hash = id; }", conversation)
    expect(page.locator(".question")).to_have_count(NUM_TURNS)
    expect(page.locator(".question").first).to_contain_text("Question 0")
    seen = page.evaluate("window.seen")
    assert seen[0][0] < NUM_TURNS
    assert len({bottom for _, bottom in seen}) == 1, seen
