"""The whole road: raw documents, curation, vocabulary, training, tuning, the store, the server, a reply, a page."""

from pathlib import Path

import openai
import pytest
from playwright.sync_api import Page, expect

from tests.command import ROOT, client_key, serve, succeed

pytestmark = pytest.mark.slow
BUILT = (ROOT / "src/bise/app/static/index.html").is_file()


def test_a_client_gets_a_reply_from_a_model_made_of_raw_text(tiny_model: str, tmp_path: Path) -> None:
    with serve("--model", tiny_model, log=tmp_path / "log") as running:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=client_key())
        assert [model.id for model in client.models.list()] == [tiny_model]
        question = [{"role": "user", "content": "Hello, who are you?"}]
        reply = client.chat.completions.create(model=tiny_model, messages=question, temperature=0, max_tokens=40)
        stream = client.chat.completions.create(
            model=tiny_model, messages=question, temperature=0, max_tokens=40, stream=True
        )
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert reply.choices[0].message.content
    assert streamed == reply.choices[0].message.content
    assert succeed("ask", "-m", tiny_model, "Hello").strip()


def test_its_card_tells_what_it_was_made_of(tiny_model: str) -> None:
    card = succeed("models", "show", tiny_model)
    assert "tests/data" not in card
    for words in ("curate/tiny", "tokenizer/tiny", "train/tiny", "tune/tiny", "Apache-2.0", "bits per byte"):
        assert words in card


@pytest.mark.browser
@pytest.mark.skipif(not BUILT, reason="the page is not built: type `make web`")
def test_a_person_asks_in_the_browser_and_finds_the_answer_again(tiny_model: str, page: Page, tmp_path: Path) -> None:
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2].split(":")[0]))
    with serve("--model", tiny_model, log=tmp_path / "log") as running:
        page.goto(running.entrance)
        composer = page.get_by_role("textbox").first
        composer.fill("Hello, who are you?")
        composer.press("Enter")
        answer = page.get_by_role("article").nth(1)
        expect(answer).to_contain_text("journey", timeout=60_000)  # the footer of a finished answer names its model
        said = answer.inner_text()
        page.reload()
        expect(page.get_by_role("article").nth(1)).to_contain_text("journey", timeout=60_000)
        assert page.get_by_role("article").nth(1).inner_text() == said
    assert hosts == {"127.0.0.1"}
