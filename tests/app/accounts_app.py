"""A server with accounts, as others reach it, with a real database around a scripted backend."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher

from bise.app.generation import Generations
from bise.app.learning import Learning
from bise.app.passwords import Passwords
from bise.app.session import Entrance
from bise.app.start import create_app
from bise.server.admission import Admission
from bise.store.accounts import User
from bise.store.database import Database
from bise.store.passwords import set_password
from tests.app.replied import as_documented
from tests.imitated_tune import imitated_command
from tests.scripted_backend import ScriptedBackend

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # the real costs are tested where they matter
PASSWORD = "four words of mine"


@dataclass
class House:
    """The application, and browsers that come to it."""

    app: Any
    database: Database
    entrance: Entrance
    root: str = "http://127.0.0.1"

    def browser(self, address: str = "127.0.0.1", **headers: str) -> httpx.AsyncClient:
        """A browser with cookies of its own, at an address."""
        transport = httpx.ASGITransport(self.app, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=self.root, headers=headers, event_hooks=as_documented())

    @property
    def state(self) -> Any:
        """The parts of the application."""
        return self.app._app.state

    async def give_password(self, user: User, password: str = PASSWORD) -> None:
        await set_password(self.database, user.name, await self.entrance.passwords.hash(password), "a test")

    async def signed_in(self, name: str, password: str = PASSWORD) -> httpx.AsyncClient:
        browser = self.browser()
        response = await browser.post("/api/sign-in", json={"name": name, "password": password})
        assert response.status_code == 204, response.text
        return browser


@asynccontextmanager
async def open_house(database: Database, entrance: Entrance, home: Path) -> AsyncIterator[House]:
    entrance.passwords = Passwords(CHEAP)
    admission = Admission(ScriptedBackend(), database)
    generations = Generations(database, admission)
    learning = Learning(imitated_command(home), modules=())
    application = create_app(admission, database, generations, entrance, learning, home / "static")
    yield House(application, database, entrance, "https://127.0.0.1" if entrance.is_secure else "http://127.0.0.1")
    await generations.close()
    await admission.meter.close()
