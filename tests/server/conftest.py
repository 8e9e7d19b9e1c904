"""A real server on a port of its own, with a real database, around a scripted backend."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import anthropic
import httpx
import openai
import pytest
from mistralai.client import Mistral
from starlette.types import ASGIApp

from bise.server.admission import Admission
from bise.server.api import create_api
from bise.server.guard import Guard
from bise.store.accounts import local_owner
from bise.store.database import open_database
from bise.store.keys import create_key
from tests.scripted_backend import ScriptedBackend
from tests.serving import serving


@dataclass
class Served:
    root: str  # the address
    key: str
    backend: ScriptedBackend
    client: httpx.AsyncClient  # sends the key


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[tuple[ASGIApp, ScriptedBackend, str]]:
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'bise.db'}")
    _, key = await create_key(database, await local_owner(database), "test")
    backend = ScriptedBackend()
    yield Guard(create_api(Admission(backend, database), database)), backend, key
    await database.close()


@pytest.fixture
async def served(api: tuple[ASGIApp, ScriptedBackend, str]) -> AsyncIterator[Served]:
    app, backend, key = api
    headers = {"authorization": f"Bearer {key}"}
    async with serving(app) as root, httpx.AsyncClient(base_url=root, headers=headers) as client:
        yield Served(root, key, backend, client)


@pytest.fixture
async def direct(api: tuple[ASGIApp, ScriptedBackend, str]) -> AsyncIterator[Served]:
    """The same without a network, for tests that are many and need no sockets."""
    app, backend, key = api
    root, headers = "http://127.0.0.1", {"authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=root, headers=headers) as client:
        yield Served(root, key, backend, client)


@pytest.fixture
async def gpt(served: Served):
    async with openai.AsyncOpenAI(base_url=served.root + "/v1", api_key=served.key, max_retries=0) as client:
        yield client


@pytest.fixture
async def mistral(served: Served):
    async with Mistral(api_key=served.key, server_url=served.root) as client:
        yield client


@pytest.fixture
async def claude(served: Served):
    async with anthropic.AsyncAnthropic(base_url=served.root, api_key=served.key, max_retries=0) as client:
        yield client
