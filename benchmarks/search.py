"""The search of the chat: `python -m benchmarks.search [--json] [--messages 10000]`.

A history of made-up words, as frequent as those of languages are, in conversations of 20 messages of 20 to 200 words; on
SQLite, and on PostgreSQL where that of the tests can be started (there nothing waits for the disk):

    index_s        until all of it is indexed after an upgrade, as the server does it in the background, pauses included
    query_ms       median and 95th percentile of queries, excerpts included: in equal parts of a word, of two words of one
                   text, and of the first three letters of a word, all of words as they occur
    new_query_ms   the same when a question and its answer came in before each query, which indexes them first

A thousand messages take less than two minutes on two busy cores; ten thousand take more than ten there.
"""

import argparse
import asyncio
import itertools
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks.alternating import load_average, load_before, machine_facts
from bise.store.accounts import local_owner
from bise.store.database import Database, open_database
from bise.store.portable import PortableConversation, PortableMessage, insert_portable
from bise.store.search import index_waiting, search_conversations
from tests.postgres import running_postgres

NUM_WORDS = 20_000
NUM_QUERIES, NUM_NEW = 150, 60
MESSAGES_EACH = 20
_SYLLABLES = tuple("".join(pair) for pair in itertools.product("bdfglmnprstvz", "aeiouéöœ"))
_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


class History:
    """What was said, the same at each run."""

    def __init__(self) -> None:
        self._random = random.Random(8)
        lengths = [self._random.randint(1, 5) for _ in range(NUM_WORDS)]
        self._words = ["".join(self._random.choices(_SYLLABLES, k=length)) for length in lengths]
        self._weights = list(itertools.accumulate(1 / rank for rank in range(1, NUM_WORDS + 1)))

    def text(self) -> str:
        """Say something."""
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=self._random.randint(20, 200)))

    def conversation(self, name: str, num_messages: int) -> PortableConversation:
        """Ask and answer in turns."""
        said: list[PortableMessage] = []
        for number in range(num_messages):
            role: Any = ("user", "assistant")[number % 2]
            said.append(PortableMessage(str(number), said[-1].id if said else None, role, self.text(), _MOMENT))
        return PortableConversation(name, name, _MOMENT, _MOMENT, tuple(said))

    def query(self, number: int) -> str:
        """Look for a word, two words, or the beginning of one."""
        one, other = self._random.sample(self.text().split(), 2)
        return (one, f"{one} {other}", one[:3])[number % 3]


async def measure(url: str, num_messages: int) -> dict[str, Any]:
    """All figures of an empty database."""
    history, database = History(), await open_database(url)
    try:
        owner = (await local_owner(database)).id
        for number in range(num_messages // MESSAGES_EACH):
            await insert_portable(database, owner, history.conversation(f"c{number}", MESSAGES_EACH), "benchmark")
        load, began = load_before(), time.perf_counter()
        await index_waiting(database)
        index_s = time.perf_counter() - began
        queries = [await _query_ms(database, owner, history.query(number)) for number in range(NUM_QUERIES)]
        news = []
        for number in range(NUM_NEW):
            await insert_portable(database, owner, history.conversation(f"new {number}", 2), "benchmark")
            news.append(await _query_ms(database, owner, history.query(number)))
    finally:
        await database.close()
    figures = {
        "load_before": load,
        "load_after": load_average(),
        "messages": num_messages,
        "index_s": round(index_s, 1),
    }
    return figures | {"query_ms": _spread(queries), "new_query_ms": _spread(news)}


async def _query_ms(database: Database, owner: str, query: str) -> float:
    began = time.perf_counter()
    await search_conversations(database, owner, query)
    return (time.perf_counter() - began) * 1000


def _spread(times_ms: Sequence[float]) -> dict[str, float]:
    shares = statistics.quantiles(times_ms, n=20)
    return {"median": round(statistics.median(times_ms), 1), "p95": round(shares[-1], 1), "n": len(times_ms)}


def measure_sqlite(num_messages: int) -> dict[str, Any]:
    """The figures of SQLite, in a file of its own."""
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(measure(f"sqlite:///{Path(directory) / 'bise.db'}", num_messages))


def measure_postgres(num_messages: int) -> dict[str, Any] | str:
    """The figures of PostgreSQL, or why there are none."""
    try:
        with running_postgres() as server:
            return asyncio.run(measure(server.new_url(), num_messages))
    except pytest.fail.Exception as error:
        return str(error)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--messages", type=int, default=10_000, help=f"a multiple of {MESSAGES_EACH}")
    arguments = parser.parse_args()
    if arguments.messages < MESSAGES_EACH or arguments.messages % MESSAGES_EACH:
        parser.error(f"--messages is {arguments.messages}, but must be a multiple of {MESSAGES_EACH}")
    found = {"sqlite": measure_sqlite(arguments.messages), "postgresql": measure_postgres(arguments.messages)}
    if arguments.json:
        print(json.dumps({"machine": machine_facts(), **found}, indent=1))
        return
    for name, figures in found.items():
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
