"""Below an answer: what of it stands in the training data. About a model: everything that it was made from."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from bise.corpus.document import Document
from bise.corpus.indexing import index_corpus
from tests.browser.conftest import ROOT, Chat, Room
from tests.browser.test_access import violations
from tests.openness.tiny_chain import make_chain, store_model

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ADAPTER = "kept"  # offered as bise-demo:kept; the corpus is that of its tuning run


@pytest.fixture
def known(room: Room, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second model, with its lineage and an index of the corpus, which holds the file `everything`."""
    monkeypatch.setenv("BISE_HOME", str(room.home))
    runs = room.home / "runs"
    store_model(make_chain(runs), "tiny")
    text = (ROOT / "tests/browser/answers/everything.md").read_text(encoding="utf-8")
    index_corpus(runs / "curate/tiny", [Document("tale-1", text, "tales", "CC BY 4.0", "en", {"title": "A fine tale"})])
    adapter = room.home / "adapters/bise-demo" / ADAPTER
    shutil.copytree(room.home / "models/tiny", adapter)
    room.ask("PUT", "/api/settings", {"default_model": f"bise-demo:{ADAPTER}"})
    yield
    room.ask("PUT", "/api/settings", {"default_model": None})
    for name in ("runs", "models", "adapters", "indices"):
        shutil.rmtree(room.home / name, ignore_errors=True)


def find(chat: Chat) -> None:
    chat.page.get_by_role("button", name="Found in the training data").click()


def test_passages_are_marked_with_source_and_licence(known: None, chat: Chat) -> None:
    page = chat.page
    chat.ask("everything")
    chat.answered()
    find(chat)
    found = page.get_by_role("region", name="Found in the training data")
    expect(
        found.get_by_text("100% of the words of this answer stand word for word in the corpus tiny.")
    ).to_be_visible()
    expect(found.locator("figcaption").first).to_have_text("A fine tale, tales · CC BY 4.0")
    assert violations(page) == []
    number = found.locator(".found-text a").first
    number.click()
    expect(found.locator("li").first).to_be_focused()
    assert "#found" not in page.url
    find(chat)
    expect(found).to_have_count(0)


def test_where_the_corpus_is_not_here_it_says_so(chat: Chat) -> None:
    page = chat.page
    chat.ask("Hello")
    chat.answered()
    find(chat)
    said = "The corpus that bise-demo learned from (european) is not on this machine, so nothing can be looked up."
    expect(page.get_by_text(said)).to_be_visible()
    assert violations(page) == []


def test_a_model_tells_what_it_was_made_from(known: None, chat: Chat) -> None:
    page = chat.page
    page.reload()
    page.get_by_role("button", name="About this model").click()
    lineage = page.get_by_role("region", name="What it was made from")
    expect(lineage.locator("ol > li")).to_have_count(5)
    expect(lineage.get_by_text("bise tune recipes/tune-tiny.toml")).to_be_visible()
    lineage.get_by_text("Sources (2)").click()
    expect(lineage.get_by_text("12 documents, CC BY 4.0 (LICENSE)")).to_be_visible()
    assert violations(page) == []


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize("language", ["de-DE", "fr-FR", "es-ES", "it-IT"])
class TestPhone:
    @pytest.fixture
    def context_options(self, language: str) -> dict[str, Any]:
        phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
        return {"locale": language, "color_scheme": "dark", **phone}

    def test_it_fits_a_small_screen_in_every_language(self, chat: Chat, language: str) -> None:
        page = chat.page
        page.locator("textarea").fill("everything")
        page.locator(".composer button[type=submit], form button[type=submit]").last.tap()
        chat.answered()
        page.locator(".find").tap()
        expect(page.locator(".found figure").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        wide = "[...document.querySelectorAll('.found, .found *')].filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline').map(e => e.className)"
        assert page.evaluate(wide) == [], language
        assert violations(page) == []
