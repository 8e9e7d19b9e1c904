"""A real database at the newest schema: each test that takes one runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bise.store.database import Database, open_database
from tests.postgres import Postgres


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bise.db'}"
    return str(request.getfixturevalue("postgres").new_url())


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'bise.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, sqlite_url: str) -> AsyncIterator[Database]:
    opened = await open_database(sqlite_url if request.param == "sqlite" else await _migrated(request))
    yield opened
    await opened.close()


async def _migrated(request: pytest.FixtureRequest) -> str:
    """The address of a copy of a database that was migrated once: every migration is tested where it matters."""
    postgres: Postgres = request.getfixturevalue("postgres")
    if not postgres.template:
        url = postgres.new_url()
        await (await open_database(url)).close()
        postgres.template = url.partition("@/")[2].partition("?")[0]
    return postgres.new_url(postgres.template)
