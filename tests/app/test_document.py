"""The client's types are made of what the server says of itself; `replied.py` holds the server to it."""

import json
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from bise.app.document import document
from tests.app.conftest import App

FILE = Path(__file__).resolve().parents[2] / "web/server.json"


def test_the_client_s_copy_of_the_document_is_fresh() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == document(), "Type: make document"


def test_every_schema_is_somebody_s() -> None:
    text = json.dumps(document())
    unused = [name for name in document()["components"]["schemas"] if f'"#/components/schemas/{name}"' not in text]
    assert unused == []


async def test_a_reply_that_says_more_or_less_than_the_document_is_noticed(app: App) -> None:
    (check,) = app.client.event_hooks["response"]
    response = await app.client.get("/api/state")
    for change in ({"secret": 1}, {"user": {"name": "x", "role": "king"}}):
        wrong = httpx.Response(200, json=response.json() | change, request=response.request)
        with pytest.raises(ValidationError):
            await check(wrong)
    less = {key: value for key, value in response.json().items() if key != "version"}
    with pytest.raises(ValidationError):
        await check(httpx.Response(200, json=less, request=response.request))
