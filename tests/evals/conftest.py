"""One server of the demonstration model for all tests of this room, as `bise eval` starts it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bise.evals.target import Target, local_target

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def target(home: object) -> Iterator[Target]:
    with local_target("bise-demo", print) as serving:
        yield serving


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What asks a real server takes its time."""
    for item in items:
        if isinstance(item, pytest.Function) and item.path.parent == HERE and "target" in item.fixturenames:
            item.add_marker("slow")
