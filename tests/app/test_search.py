"""The search, as the page asks it."""

import asyncio

import pytest

from bise.app.search import MAX_QUERY_CHARS, index_regularly
from tests.app.conftest import App
from tests.store.test_search import num_waiting

pytestmark = pytest.mark.slow


async def test_what_was_said_is_found_with_its_place_by_its_owner_only(app: App) -> None:
    conversation = await app.begin()
    shown = await app.answered(conversation, "Où est le CŒUR de l’été ?")
    (title, message) = (await app.client.get("/api/search", params={"q": "coeur ete"})).json()["hits"]
    assert (title["conversation_id"], title["message_id"]) == (conversation, None)
    assert message["message_id"] == shown["messages"][0]["id"]
    assert [piece["text"] for piece in message["excerpt"] if piece["found"]] == ["CŒUR", "été"]
    assert (await app.other.get("/api/search", params={"q": "coeur"})).json() == {"hits": []}


async def test_a_search_is_never_an_error_but_when_it_is_endless(app: App) -> None:
    for query in ("", '"', "(", "NEAR(a b", "a* -b", "\0", "'; --", "x" * MAX_QUERY_CHARS):
        assert (await app.client.get("/api/search", params={"q": query})).json() == {"hits": []}
    refused = await app.client.get("/api/search", params={"q": "x" * (MAX_QUERY_CHARS + 1)})
    assert refused.status_code == 400
    assert f"{MAX_QUERY_CHARS + 1} characters" in refused.json()["error"]["message"]


async def test_what_is_new_is_indexed_without_anybody_looking_for_it(app: App) -> None:
    await app.answered(await app.begin())
    indexing = asyncio.create_task(index_regularly(app.database))
    async with asyncio.timeout(60):
        while await num_waiting(app.database):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)
    assert not indexing.done()
    indexing.cancel()
    assert len((await app.client.get("/api/search", params={"q": "hello"})).json()["hits"]) == 2
