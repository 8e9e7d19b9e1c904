"""A real SQLite database in a file, at the newest schema."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bise.store.database import Database, open_database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path / 'bise.db'}"


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    opened = await open_database(url)
    yield opened
    await opened.close()
