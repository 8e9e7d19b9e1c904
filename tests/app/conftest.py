"""The whole application on a port of its own, with a real database, around a scripted backend, and two users."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bise.app.generation import Generations
from bise.app.importing import Imports
from bise.app.learning import Learning
from bise.app.session import Entrance
from bise.app.start import create_app
from bise.app.temporary import TemporaryChats
from bise.server.admission import Admission
from bise.store.accounts import create_user, local_owner, start_session
from bise.store.database import Database, open_database
from tests.app.replied import as_documented
from tests.imitated_tune import imitated_command
from tests.scripted_backend import ScriptedBackend
from tests.serving import serving

PORT = 8421


@dataclass
class App:
    root: str
    client: httpx.AsyncClient  # the owner's browser
    other: httpx.AsyncClient  # somebody else's
    stranger: httpx.AsyncClient  # nobody's
    backend: ScriptedBackend
    database: Database
    generations: Generations
    entrance: Entrance
    learning: Learning
    home: Path
    imports: Imports
    temporary: TemporaryChats

    async def begin(self) -> str:
        response = await self.client.post("/api/conversations", json={})
        assert response.status_code == 201
        return response.json()["id"]

    async def send(self, conversation: str, content: str = "Hello", client_id: str = "c1") -> dict:
        body = {"content": content, "client_id": client_id}
        response = await self.client.post(f"/api/conversations/{conversation}/messages", json=body)
        assert response.status_code == 202, response.text
        return response.json()

    async def look(self, conversation: str) -> dict:
        response = await self.client.get(f"/api/conversations/{conversation}")
        assert response.status_code == 200, response.text
        return response.json()

    async def events(self, conversation: str, after: int = 0, until: bytes = b"event: done") -> bytes:
        """The stream's bytes up to the end of the first event that holds `until`."""
        received = b""
        path = f"/api/conversations/{conversation}/events"
        async with self.client.stream("GET", path, params={"after": after}) as response:
            assert response.status_code == 200
            async for piece in response.aiter_bytes():
                received += piece
                if until in received and received.endswith(b"\n\n"):
                    break
        return received

    async def answered(self, conversation: str, content: str = "Hello", client_id: str = "c1") -> dict:
        """Send a message and wait for the end of its answer; the conversation then."""
        after = (await self.look(conversation))["last_event"]
        await self.send(conversation, content, client_id)
        await self.events(conversation, after)
        return await self.look(conversation)


@pytest.fixture
async def static(tmp_path: Path) -> Path:
    return tmp_path / "static"


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    """Of a server with accounts; `accounts_app.py` has the rest."""
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    opened = await open_database(f"sqlite:///{tmp_path / 'bise.db'}")
    yield opened
    await opened.close()


@pytest.fixture
async def app(tmp_path: Path, static: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[App]:
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path / 'bise.db'}")
    backend = ScriptedBackend()
    admission = Admission(backend, database)
    generations = Generations(database, admission)
    owner, other = await local_owner(database), await create_user(database, "other")
    entrance = Entrance(owner, PORT)
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    learning = Learning(imitated_command(tmp_path), modules=())
    application = create_app(admission, database, generations, entrance, learning, static)
    state = application._app.state  # type: ignore[attr-defined]
    parts = (database, generations, entrance, learning, tmp_path, state.imports, state.temporary)
    hooks = as_documented()
    cookies = [{entrance.cookie_name: await start_session(database, user)} for user in (owner, other)]
    async with (
        serving(application, generations.close) as root,
        httpx.AsyncClient(base_url=root, cookies=cookies[0], timeout=60, event_hooks=hooks) as client,
        httpx.AsyncClient(base_url=root, cookies=cookies[1], event_hooks=hooks) as others,
        httpx.AsyncClient(base_url=root, event_hooks=hooks) as stranger,
    ):
        yield App(root, client, others, stranger, backend, *parts)
    await admission.meter.close()
    await database.close()
