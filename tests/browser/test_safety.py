"""Whatever a model writes: nothing runs, nothing is fetched, and the page stays what it is."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Chat

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_hostile_answers_stay_text(chat: Chat) -> None:
    chat.ask("hostile")
    chat.answered()
    answer = chat.page.locator(".answer")
    expect(answer).to_contain_text("The end.")
    expect(answer.locator("script, iframe, img, style, object, form")).to_have_count(0)
    expect(answer.locator(".markdown svg:not(.icon, .katex svg)")).to_have_count(0)
    targets = answer.locator("a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert targets
    assert not [target for target in targets if not target.startswith("https://")]
    for link in answer.locator(".markdown a").all():
        assert link.get_attribute("target") == "_blank"
    assert chat.page.evaluate("window.broken") is None
    chat.page.reload()
    chat.answered()
    assert chat.page.evaluate("window.broken") is None


def test_hostile_questions_and_titles_stay_text(chat: Chat) -> None:
    question = "<img src=x onerror=\"window.broken='question'\"><script>window.broken='question'</script>"
    chat.ask(question)
    chat.answered()
    expect(chat.page.locator(".bubble")).to_have_text(question)
    chat.page.reload()
    chat.answered()
    assert chat.page.evaluate("window.broken") is None


def test_the_page_forbids_what_it_does_not_need(chat: Chat) -> None:
    policy = chat.page.request.get(chat.room.root).headers["content-security-policy"]
    assert "unsafe-eval" not in policy
    assert "script-src 'self'" in policy
    assert chat.page.locator("script:not([src])").count() == 0
