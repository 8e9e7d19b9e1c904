"""The page learns what of an answer stands in the training data, and what a model was made from; or that it cannot be known."""

from dataclasses import replace
from pathlib import Path

import pytest

from bise.corpus.document import Document
from bise.corpus.indexing import index_corpus
from tests.app.conftest import App
from tests.openness.tiny_chain import make_chain, store_model
from tests.scripted_backend import MODEL

pytestmark = pytest.mark.slow
TALE = "the miller of Ostwick carried seven geese across the frozen river before dawn"


def index_tale(runs: Path) -> None:
    """Index one document for the corpus of the chain."""
    document = Document("tale-1", f"They say {TALE}. Nobody knows why.", "tales", "CC BY 4.0", "en", {"title": "Geese"})
    index_corpus(runs / "curate/tiny", [document])


@pytest.fixture
async def answered(app: App) -> str:
    """The id of an answer that repeats a tale, by a model of the store whose runs are elsewhere."""
    store_model(make_chain(app.home / "elsewhere"), "scripted")
    app.backend.words = [f"{word} " for word in f"Well, {TALE} indeed.".split()]
    return (await app.answered(await app.begin()))["messages"][1]["id"]


async def look(app: App, answer: str) -> dict:
    response = await app.client.get(f"/api/messages/{answer}/trace")
    assert response.status_code == 200, response.text
    return response.json()


async def test_what_stands_in_the_corpus_is_marked_with_source_licence_and_passage(app: App, answered: str) -> None:
    index_tale(app.home / "elsewhere")
    found = await look(app, answered)
    assert (found["known"], found["corpora"]) == ("here", ["tiny"])
    (span,) = found["spans"]
    assert (span["text"], span["num_words"], span["occurrences"]) == (TALE, 13, 1)
    (place,) = span["places"]
    assert (place["source"], place["licence"], place["document"]) == ("tales", "CC BY 4.0", "tale-1")
    assert (place["before"], place["after"], place["title"]) == ("They say ", ". Nobody knows why.", "Geese")
    assert [piece["text"] for piece in found["pieces"] if piece["span"] == 0] == [TALE]
    assert 0.7 < found["share"] < 1
    assert await look(app, answered) == found


async def test_a_corpus_that_is_not_here_is_said(app: App, answered: str) -> None:
    assert await look(app, answered) == {"known": "not_here", "corpora": ["tiny"]}


async def test_a_model_without_records_and_one_of_another_server_are_told_apart(app: App) -> None:
    answer = (await app.answered(await app.begin()))["messages"][1]["id"]
    assert await look(app, answer) == {"known": "unknown", "corpora": []}
    app.backend.offered = [replace(MODEL, owned_by="example-cloud")]
    assert (await look(app, answer))["known"] == "elsewhere"
    response = await app.client.get("/api/lineage", params={"model": "scripted"})
    assert response.json() == {"steps": [], "missing": []}


async def test_an_answer_of_others_or_a_question_is_not_looked_up(app: App, answered: str) -> None:
    assert (await app.other.get(f"/api/messages/{answered}/trace")).status_code == 404
    conversation = (await app.client.get("/api/conversations")).json()["conversations"][0]["id"]
    question = (await app.look(conversation))["messages"][0]["id"]
    assert (await app.client.get(f"/api/messages/{question}/trace")).status_code == 404


async def test_the_lineage_of_a_model_names_every_step(app: App, answered: str) -> None:
    shown = (await app.client.get("/api/lineage", params={"model": "scripted"})).json()
    assert [step["name"] for step in shown["steps"]] == [
        "model/scripted",
        "tune/tiny",
        "train/tiny",
        "curate/tiny",
        "tokenizer/tiny",
    ]
    tune = shown["steps"][1]
    assert (tune["energy_kwh"], tune["cost"], tune["licence"]) == (0.125, "0.04 EUR", "Apache-2.0")
    assert tune["command"] == "bise tune recipes/tune-tiny.toml --set sources.root=DIR"
    assert shown["steps"][3]["sources"][0]["name"] == "tales"
    assert (await app.client.get("/api/lineage", params={"model": "absent"})).status_code == 404
