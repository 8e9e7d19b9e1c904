"""One server of the demonstration model for all tests of this room, as `bise eval` starts it."""

from collections.abc import Iterator

import pytest

from bise.evals.target import Target, local_target


@pytest.fixture(scope="session")
def target(home: object) -> Iterator[Target]:
    with local_target("bise-demo", print) as serving:
        yield serving
