"""With the real engine: a client that goes away frees it within a second, whatever it had asked for and however."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from bise.server.admission import Admission
from bise.server.api import create_api
from bise.server.gateway import Gateway
from bise.server.guard import Guard
from bise.server.local import LocalBackend
from bise.server.remote import RemoteBackend
from bise.server.upstream import Upstream
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.keys import create_key
from tests.random_models import TINY
from tests.scripted_backend import until
from tests.serving import serving
from tests.speaking_model import write_speaking_model

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

# A smaller one writes faster than a busy machine reads, and its figures come late.
UNHURRIED = replace(TINY, hidden_size=512, num_layers=8, num_heads=8, ffn_size=2048)
MESSAGES = [{"role": "user", "content": "Where is the wind?"}]
CHAT = {"messages": MESSAGES, "max_tokens": 50_000, "temperature": 0}
TEXT = {"prompt": "The wind", "max_tokens": 50_000, "temperature": 0}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def backend(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalBackend]:
    directory = tmp_path_factory.mktemp("models") / "tiny"
    backend = LocalBackend(write_speaking_model(directory, 100_000, UNHURRIED, endless=True))
    await backend.start()
    yield backend
    await backend.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(backend: LocalBackend, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('db') / 'bise.db'}")
    _, key = await create_key(database, await local_owner(database), "test")
    headers = {"authorization": f"Bearer {key}"}
    async with serving(Guard(create_api(Admission(backend, database), database))) as root:
        # A second server of ours stands before the first: its client's going away has to reach the engine, too.
        front = RemoteBackend(Upstream("behind", f"{root}/v1", "bise", key, models={"far": "tiny"}))
        await front.start()
        async with (
            serving(Guard(create_api(Admission(Gateway((front,)), database), database))) as far,
            httpx.AsyncClient(headers=headers, timeout=60) as http,
        ):
            http.base_url, http.params = httpx.URL(root), {}
            http.headers["x-far"] = far
            yield http
        await front.close()
    await database.close()


@pytest.mark.parametrize("far", [False, True], ids=["here", "through another server"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/chat/completions", CHAT), ("/v1/completions", TEXT), ("/v1/messages", CHAT)],
    ids=["chat", "text", "messages"],
)
async def test_a_client_that_goes_away_frees_the_engine_within_a_second(
    backend: LocalBackend, client: httpx.AsyncClient, path: str, body: dict[str, Any], stream: bool, far: bool
) -> None:
    engine = backend._engine
    address = client.headers["x-far"] + path if far else path
    content = body | {"model": "far" if far else "tiny", "stream": stream}
    request = asyncio.create_task(client.post(address, json=content))
    await until(lambda: engine.num_requests == 1)
    await until(lambda: engine.stats is not None and engine.stats.num_running == 1)
    assert not request.done(), request.result().text[:500]
    request.cancel()
    gone_at = time.monotonic()
    with suppress(asyncio.CancelledError):
        await request
    await until(lambda: engine.num_requests == 0)
    await until(lambda: engine.stats is not None and engine.stats.num_running == 0)
    assert time.monotonic() - gone_at < 1
