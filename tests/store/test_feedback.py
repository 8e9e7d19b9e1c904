"""Feedback belongs to its owner, keeps the original, and holds all that tuning needs to know."""

import json

import pytest
import sqlalchemy as sa

from bise.errors import InputError, NotFoundError
from bise.messages import Message
from bise.store.accounts import create_user
from bise.store.branches import show_branch
from bise.store.database import Database
from bise.store.deleted import delete_conversation, erase_conversation
from bise.store.feedback import (
    MAX_COMMENT_CHARS,
    FeedbackItem,
    Rating,
    exclude_feedback,
    improve_answer,
    list_feedback,
    prefer_answer,
    rate_answer,
)
from bise.store.tables import better_answers, conversations, preferences, ratings
from tests.store.talk import Talk


async def only(database: Database, owner: str) -> FeedbackItem:
    (item,) = await list_feedback(database, owner)
    return item


async def test_a_thumb_is_given_changed_and_taken_back(database: Database) -> None:
    talk = await Talk.begin(database)
    answer = (await talk.ask("Hello", "Good day!")).assistant_message.id
    await rate_answer(database, talk.owner, answer, Rating("up", "clear", None))
    first = await only(database, talk.owner)
    assert (first.kind, first.answer, first.rating) == ("rating", "Good day!", Rating("up", "clear", None))
    await exclude_feedback(database, talk.owner, first.id, True)
    await rate_answer(database, talk.owner, answer, Rating("down", "wrong", "It was night."))
    second = await only(database, talk.owner)
    assert (second.id, second.excluded) == (first.id, True)
    assert (await talk.shown())[1].rating == second.rating == Rating("down", "wrong", "It was night.")
    await rate_answer(database, talk.owner, answer, None)
    assert await list_feedback(database, talk.owner) == ()
    assert (await talk.shown())[1].rating is None


async def test_a_better_answer_stands_beside_the_original(database: Database) -> None:
    talk = await Talk.begin(database)
    answer = (await talk.ask("Hello", "Good day!")).assistant_message.id
    for better in ("Good evening!", "Good night!"):
        await improve_answer(database, talk.owner, answer, better)
    item = await only(database, talk.owner)
    assert (item.kind, item.answer, item.better) == ("better_answer", "Good day!", "Good night!")
    shown = (await talk.shown())[1]
    assert (shown.content, shown.better, shown.text) == ("Good day!", "Good night!", "Good night!")
    await improve_answer(database, talk.owner, answer, "Good day!")
    assert await list_feedback(database, talk.owner) == ()
    assert (await talk.shown())[1].text == "Good day!"


@pytest.mark.parametrize(
    ("verdict", "chosen", "rejected"), [("this", "two", "one"), ("other", "one", "two"), ("equal", None, None)]
)
async def test_a_preference_names_the_chosen_and_the_rejected(
    database: Database, verdict: str, chosen: str | None, rejected: str | None
) -> None:
    talk = await Talk.begin(database)
    first = (await talk.ask("Hello", "one")).assistant_message.id
    second = (await talk.again(first, "two")).assistant_message.id
    await prefer_answer(database, talk.owner, second, first, verdict)
    item = await only(database, talk.owner)
    assert (item.kind, item.chosen, item.rejected) == ("preference", chosen, rejected)
    mirrored = {"this": "other", "other": "this", "equal": "equal"}[verdict]
    await prefer_answer(database, talk.owner, first, second, mirrored)
    assert (await only(database, talk.owner)).verdict == item.verdict
    for branch in (first, second):
        await show_branch(database, talk.owner, talk.id, branch)
        assert (await talk.shown())[1].preferences[0].verdict == item.verdict
    await prefer_answer(database, talk.owner, first, second, None)
    assert await list_feedback(database, talk.owner) == ()


async def test_an_item_holds_the_conversation_before_the_answer_as_it_now_reads(database: Database) -> None:
    talk = await Talk.begin(database)
    async with database.write() as connection:
        await connection.execute(sa.update(conversations).values(system_prompt="Be brief."))
    first = await talk.ask("one?", "ONE")
    await improve_answer(database, talk.owner, first.assistant_message.id, "One.")
    await talk.ask("nothing?", "", status="failed")
    last = await talk.ask("two?", "TWO")
    await talk.ask("three?", "THREE")
    await rate_answer(database, talk.owner, last.assistant_message.id, Rating("up", None, None))
    await talk.ask("other", "branch", instead_of=first.user_message.id)  # what was rated is not shown now
    items = {item.kind: item for item in await list_feedback(database, talk.owner)}
    assert items["rating"].conversation.messages == (
        Message("system", "Be brief."),
        Message("user", "one?"),
        Message("assistant", "One."),
        Message("user", "nothing?"),
        Message("user", "two?"),
    )
    assert items["better_answer"].conversation.messages == (Message("system", "Be brief."), Message("user", "one?"))
    assert (items["rating"].model, items["rating"].parameters) == ("m", {"temperature": 0.3})


async def test_records_are_json_and_say_what_their_kind_says(database: Database) -> None:
    talk = await Talk.begin(database)
    first = (await talk.ask("Hello", "one")).assistant_message.id
    await rate_answer(database, talk.owner, first, Rating("down", "language", "auf Deutsch, bitte"))
    await improve_answer(database, talk.owner, first, "eins")
    second = (await talk.again(first, "two")).assistant_message.id
    third = (await talk.again(first, "three")).assistant_message.id
    await prefer_answer(database, talk.owner, second, third, "this")
    await prefer_answer(database, talk.owner, first, third, "equal")
    records = [json.loads(json.dumps(item.as_record())) for item in await list_feedback(database, talk.owner)]
    common = {"id", "kind", "created_at", "conversation_id", "excluded", "model", "parameters", "conversation"}
    said = [{name: value for name, value in record.items() if name not in common} for record in records]
    assert said == [
        {"answer": "one", "thumb": "down", "reason": "language", "comment": "auf Deutsch, bitte"},
        {"answer": "one", "better": "eins"},
        {"verdict": "first", "chosen": "two", "rejected": "three"},
        {"verdict": "equal", "first": "one", "second": "three"},
    ]
    assert all(record["conversation"] == [{"role": "user", "content": "Hello"}] for record in records)


async def test_deleting_a_conversation_deletes_its_feedback(database: Database) -> None:
    talk, kept = await Talk.begin(database), await Talk.begin(database)
    for each in (talk, kept):
        first = (await each.ask("Hello", "one")).assistant_message.id
        second = (await each.again(first, "two")).assistant_message.id
        await rate_answer(database, each.owner, first, Rating("up", None, None))
        await improve_answer(database, each.owner, first, "eins")
        await prefer_answer(database, each.owner, first, second, "this")
    await delete_conversation(database, talk.owner, talk.id)
    assert {item.conversation_id for item in await list_feedback(database, talk.owner)} == {kept.id}
    await erase_conversation(database, talk.owner, talk.id)
    assert {item.conversation_id for item in await list_feedback(database, talk.owner)} == {kept.id}
    async with database.read() as connection:
        for table in (ratings, better_answers, preferences):
            assert await connection.scalar(sa.select(sa.func.count()).select_from(table)) == 1


async def test_what_belongs_to_another_does_not_exist(database: Database) -> None:
    talk = await Talk.begin(database)
    first = (await talk.ask("Hello", "one")).assistant_message.id
    second = (await talk.again(first, "two")).assistant_message.id
    await rate_answer(database, talk.owner, first, Rating("up", None, None))
    before = await only(database, talk.owner)
    other = (await create_user(database, "other")).id
    for attempt in (
        rate_answer(database, other, first, None),
        rate_answer(database, other, first, Rating("down", None, None)),
        improve_answer(database, other, first, "theirs"),
        prefer_answer(database, other, first, second, "this"),
        exclude_feedback(database, other, before.id, True),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert await list_feedback(database, other) == ()
    assert await only(database, talk.owner) == before


async def test_what_is_no_judgement_is_refused_in_words(database: Database) -> None:
    talk = await Talk.begin(database)
    turn = await talk.ask("Hello", "one")
    question, answer = turn.user_message.id, turn.assistant_message.id
    elsewhere = (await talk.ask("And?", "so")).assistant_message.id
    empty = (await talk.ask("Hm?", "", status="failed")).assistant_message.id
    for attempt, words in (
        (rate_answer(database, talk.owner, answer, Rating("sideways", None, None)), "thumb is 'sideways'.*up, down"),
        (rate_answer(database, talk.owner, answer, Rating("up", "wrong", None)), "reason is 'wrong'.*correct"),
        (rate_answer(database, talk.owner, answer, Rating("up", None, "x" * (MAX_COMMENT_CHARS + 1))), "longer"),
        (rate_answer(database, talk.owner, question, Rating("up", None, None)), "has ended and has text"),
        (improve_answer(database, talk.owner, empty, "better"), "has ended and has text"),
        (prefer_answer(database, talk.owner, answer, elsewhere, "this"), "same question"),
        (prefer_answer(database, talk.owner, answer, answer, "this"), "same question"),
    ):
        with pytest.raises(InputError, match=words):
            await attempt
    assert await list_feedback(database, talk.owner) == ()
