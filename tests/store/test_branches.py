"""Of questions and answers beside each other one is shown; all are kept, and what follows each of them."""

from dataclasses import replace

import pytest

from bise.errors import InputError, NotFoundError
from bise.store.accounts import create_user
from bise.store.branches import BusyError, Question, add_answer, add_turn, reopen_answer, show_branch
from bise.store.database import Database
from bise.store.feedback import improve_answer
from bise.store.turns import finish_answer, get_conversation
from tests.store.talk import SETTINGS, Talk


async def test_a_question_asked_anew_stands_beside_the_first_and_each_keeps_what_followed(database: Database) -> None:
    talk = await Talk.begin(database)
    first = await talk.ask("Hello", "Good day!")
    await talk.ask("And then?", "Then nothing.")
    anew = await talk.ask("Hello there", "Hi!", instead_of=first.user_message.id)
    assert await talk.read() == ["Hello there", "Hi!"]
    assert (await talk.shown())[0].branches == (first.user_message.id, anew.user_message.id)
    await talk.ask("What now?", "Now this.")
    await show_branch(database, talk.owner, talk.id, first.user_message.id)
    assert await talk.read() == ["Hello", "Good day!", "And then?", "Then nothing."]
    await show_branch(database, talk.owner, talk.id, anew.user_message.id)
    assert await talk.read() == ["Hello there", "Hi!", "What now?", "Now this."]


async def test_an_answer_made_anew_stands_beside_the_first(database: Database) -> None:
    talk = await Talk.begin(database)
    first = await talk.ask("Hello", "one")
    second = await talk.again(first.assistant_message.id, "two")
    third = await talk.again(first.assistant_message.id, "three")
    assert await talk.read() == ["Hello", "three"]
    ids = [turn.assistant_message.id for turn in (first, second, third)]
    assert (await talk.shown())[1].branches == tuple(ids)
    assert third.user_message.id == first.user_message.id
    await show_branch(database, talk.owner, talk.id, ids[1])
    assert await talk.read() == ["Hello", "two"]
    assert (await talk.shown())[1].parameters == {"temperature": 0.3}


async def test_showing_a_message_shows_the_way_to_it(database: Database) -> None:
    talk = await Talk.begin(database)
    first = await talk.ask("a", "A")
    inner = await talk.ask("b", "B")
    await talk.again(inner.assistant_message.id, "B2")
    await talk.ask("x", "X", instead_of=first.user_message.id)
    await show_branch(database, talk.owner, talk.id, inner.assistant_message.id)
    assert await talk.read() == ["a", "A", "b", "B"]
    await talk.ask("c", "C", instead_of=inner.user_message.id)
    await show_branch(database, talk.owner, talk.id, first.user_message.id)
    assert await talk.read() == ["a", "A", "c", "C"]


async def test_an_answer_without_a_word_is_replaced(database: Database) -> None:
    talk = await Talk.begin(database)
    failed = await talk.ask("Hello", "", status="failed")
    again = await talk.again(failed.assistant_message.id, "Good day!")
    assert (await talk.shown())[1].branches == (again.assistant_message.id,)


async def test_the_same_request_twice_is_one_branch(database: Database) -> None:
    talk = await Talk.begin(database)
    first = await talk.ask("Hello", "one")
    arguments = (database, talk.owner, talk.id, first.assistant_message.id, "same", SETTINGS)
    opened = await add_answer(*arguments)
    repeated = await add_answer(*arguments)
    assert (opened.is_new, repeated.is_new) == (True, False)
    assert repeated.assistant_message.id == opened.assistant_message.id
    question = Question("Hello", "again", first.user_message.id)
    await talk.finish(opened, "two")
    turns = [await add_turn(database, talk.owner, talk.id, question, SETTINGS) for _ in range(2)]
    assert turns[0].assistant_message.id == turns[1].assistant_message.id
    assert (await talk.shown())[0].branches == (first.user_message.id, turns[0].user_message.id)


async def test_nothing_branches_while_an_answer_is_made(database: Database) -> None:
    talk = await Talk.begin(database)
    first = await talk.ask("Hello", "one")
    await add_answer(database, talk.owner, talk.id, first.assistant_message.id, "c", SETTINGS)
    for attempt in (
        add_answer(database, talk.owner, talk.id, first.assistant_message.id, "d", SETTINGS),
        add_turn(database, talk.owner, talk.id, Question("x", "e", first.user_message.id), SETTINGS),
        show_branch(database, talk.owner, talk.id, first.assistant_message.id),
        reopen_answer(database, talk.owner, talk.id, first.assistant_message.id),
    ):
        with pytest.raises(BusyError):
            await attempt


@pytest.mark.parametrize(("status", "reason"), [("stopped", None), ("interrupted", None), ("complete", "length")])
async def test_an_answer_that_was_cut_short_is_opened_again(
    database: Database, status: str, reason: str | None
) -> None:
    talk = await Talk.begin(database)
    turn = await talk.ask("Hello", "", status="stopped")
    cut = replace(turn.assistant_message, content="Good", status=status, finish_reason=reason)
    await finish_answer(database, talk.id, cut, 5)
    opened = await reopen_answer(database, talk.owner, talk.id, cut.id)
    assert (opened.assistant_message.status, opened.assistant_message.content) == ("generating", "Good")
    assert (opened.user_message.content, opened.first_event) == ("Hello", 5)
    await talk.finish(opened, "Good day!")
    assert await talk.read() == ["Hello", "Good day!"]


async def test_a_whole_an_empty_an_earlier_and_a_better_answer_are_not_continued(database: Database) -> None:
    talk = await Talk.begin(database)
    whole = await talk.ask("a", "A")
    empty = await talk.ask("b", "", status="stopped")
    for turn in (whole, empty):
        with pytest.raises(InputError, match="cut short"):
            await reopen_answer(database, talk.owner, talk.id, turn.assistant_message.id)
    earlier = await talk.ask("c", "C", status="stopped")
    await talk.ask("d", "D", status="stopped")
    with pytest.raises(InputError, match="last answer"):
        await reopen_answer(database, talk.owner, talk.id, earlier.assistant_message.id)
    better = (await talk.shown())[-1].id
    await improve_answer(database, talk.owner, better, "Delta")
    with pytest.raises(InputError, match="cut short"):
        await reopen_answer(database, talk.owner, talk.id, better)


async def test_what_belongs_to_another_or_to_another_conversation_does_not_exist(database: Database) -> None:
    talk = await Talk.begin(database)
    turn = await talk.ask("Hello", "one", status="stopped")
    second = await Talk.begin(database)
    other = (await create_user(database, "other")).id
    question, answer = turn.user_message.id, turn.assistant_message.id
    for owner, conversation in ((other, talk.id), (talk.owner, second.id)):
        for attempt in (
            add_answer(database, owner, conversation, answer, "x", SETTINGS),
            add_turn(database, owner, conversation, Question("x", "x", question), SETTINGS),
            show_branch(database, owner, conversation, answer),
            reopen_answer(database, owner, conversation, answer),
        ):
            with pytest.raises(NotFoundError):
                await attempt
    with pytest.raises(NotFoundError):  # a question is no answer
        await add_answer(database, talk.owner, talk.id, question, "x", SETTINGS)
    assert (await get_conversation(database, talk.owner, second.id))[1] == ()
    assert await talk.read() == ["Hello", "one"]
