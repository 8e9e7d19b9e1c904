"""What was used is the sum of what was added, however it is grouped, and outlives those who used it."""

from datetime import date

from bise.store.accounts import create_user, remove_user
from bise.store.database import Database
from bise.store.keys import create_key
from bise.store.limits import Subject
from bise.store.usage import GROUPINGS, Counts, UsageKey, add_usage, report, tokens_used


async def test_sums_are_those_of_what_was_added(database: Database) -> None:
    ada, bob = await create_user(database, "ada"), await create_user(database, "bob")
    key, _ = await create_key(database, ada, "k")
    days = [date(2026, 10, 31), date(2026, 11, 1), date(2026, 11, 2)]
    added: list[tuple[UsageKey, Counts]] = []
    for number, day in enumerate(days * 2):
        added += [
            (UsageKey(day, ada.id, "", key.id, "small"), Counts(1, 10 + number, 1)),
            (UsageKey(day, ada.id, "", "", "small"), Counts(1, 100, 2)),
            (UsageKey(day, bob.id, "p", "", "large"), Counts(1, 10**12, 3)),
        ]
    await add_usage(database, added[:5])
    await add_usage(database, added[5:])
    total = sum((counts for _, counts in added), Counts())
    for grouping in GROUPINGS:
        rows = await report(database, [grouping])
        assert sum(row["num_requests"] for row in rows) == total.num_requests
        assert sum(row["num_prompt_tokens"] + row["num_completion_tokens"] for row in rows) == total.num_tokens
    by_user = await report(database, ["user", "key"], since=days[1], until=days[1])
    assert [(row["user"], row["key"], row["num_prompt_tokens"]) for row in by_user] == [
        ("ada", "", 200),
        ("ada", key.prefix, 11 + 14),
        ("bob", "", 2 * 10**12),
    ]
    assert [row["month"] for row in await report(database, ["month"])] == ["2026-10", "2026-11"]
    assert [row["day"] for row in await report(database, ["day"])] == [day.isoformat() for day in days]
    assert await tokens_used(database, Subject("key", key.id, ""), days[1]) == (11 + 12 + 14 + 15 + 4, 75 + 6)
    assert await tokens_used(database, Subject("user", "nobody", ""), days[1]) == (0, 0)
    await remove_user(database, "ada")
    assert ada.id in [row["user"] for row in await report(database, ["user"])]


async def test_nothing_used_is_an_empty_report(database: Database) -> None:
    assert await report(database, ["day", "model"]) == []
    assert await report(database, []) == [
        dict.fromkeys(("num_requests", "num_prompt_tokens", "num_completion_tokens"), 0)
    ]
