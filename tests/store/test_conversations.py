"""A turn is kept whole, once, in order, and for its owner only."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.errors import NotFoundError
from bise.store.accounts import create_user, local_owner
from bise.store.branches import RESERVED_EVENTS, AnswerSettings, BusyError, Question, add_turn
from bise.store.conversations import (
    MAX_TITLE_CHARS,
    ConversationSettings,
    choose_settings,
    create_conversation,
    list_conversations,
    rename_conversation,
    shorten,
)
from bise.store.database import Database
from bise.store.deleted import delete_conversation
from bise.store.turns import (
    conversation_of_message,
    finish_answer,
    get_conversation,
    mark_interrupted,
    save_partial_answer,
)

SETTINGS = AnswerSettings("m")


async def finish(database: Database, conversation_id: str, last_event: int = 7) -> None:
    _, messages = await get_conversation(database, (await local_owner(database)).id, conversation_id)
    answer = messages[-1]
    done = type(answer)(**(vars(answer) | {"content": "Good day!", "status": "complete", "stats": {"tokens": 3}}))
    await finish_answer(database, conversation_id, done, last_event)


async def test_a_turn_comes_back_as_it_was_kept(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    turn = await add_turn(database, owner, conversation.id, Question("Guten Tag, wie geht es?", "c1"), SETTINGS)
    found, messages = await get_conversation(database, owner, conversation.id)
    assert messages == (turn.user_message, turn.assistant_message)
    assert (found.title, found.generating) == ("Guten Tag, wie geht es?", True)
    await finish(database, conversation.id)
    found, messages = await get_conversation(database, owner, conversation.id)
    assert (messages[1].content, messages[1].status, messages[1].stats) == ("Good day!", "complete", {"tokens": 3})
    assert (found.last_event, found.generating) == (7, False)


async def test_the_same_message_twice_is_kept_once_even_at_the_same_moment(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    turns = await asyncio.gather(
        *(add_turn(database, owner, conversation.id, Question("hi", "c1"), SETTINGS) for _ in range(5))
    )
    assert len({turn.user_message.id for turn in turns}) == len({turn.assistant_message.id for turn in turns}) == 1
    assert sum(turn.is_new for turn in turns) == 1
    assert len((await get_conversation(database, owner, conversation.id))[1]) == 2


async def test_of_two_messages_at_the_same_moment_one_must_wait(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    results = await asyncio.gather(
        *(add_turn(database, owner, conversation.id, Question("hi", f"c{i}"), SETTINGS) for i in range(3)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, BusyError) for result in results) == 2
    assert len((await get_conversation(database, owner, conversation.id))[1]) == 2


async def test_event_numbers_never_come_twice_not_even_after_a_kill(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    first = await add_turn(database, owner, conversation.id, Question("a", "c1"), SETTINGS)
    assert await mark_interrupted(database) == 1  # killed after any number of events
    second = await add_turn(database, owner, conversation.id, Question("b", "c2"), SETTINGS)
    await finish(database, conversation.id, last_event=second.first_event + 5)
    third = await add_turn(database, owner, conversation.id, Question("c", "c3"), SETTINGS)
    assert [first.first_event, second.first_event, third.first_event] == [0, RESERVED_EVENTS, RESERVED_EVENTS + 5]


async def test_a_killed_answer_keeps_its_text_and_is_marked(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    turn = await add_turn(database, owner, conversation.id, Question("a", "c1"), SETTINGS)
    await save_partial_answer(database, turn.assistant_message.id, "so far")
    assert await mark_interrupted(database) == 1
    assert await mark_interrupted(database) == 0
    _, messages = await get_conversation(database, owner, conversation.id)
    assert (messages[1].status, messages[1].content) == ("interrupted", "so far")


async def test_the_latest_conversation_comes_first(database: Database) -> None:
    owner = (await local_owner(database)).id
    first, second = [await create_conversation(database, owner) for _ in range(2)]
    await add_turn(database, owner, first.id, Question("a", "c1"), SETTINGS)
    assert [entry.id for entry in await list_conversations(database, owner)] == [first.id, second.id]


async def test_what_belongs_to_another_does_not_exist(database: Database) -> None:
    owner, other = (await local_owner(database)).id, (await create_user(database, "other")).id
    conversation = await create_conversation(database, owner)
    turn = await add_turn(database, owner, conversation.id, Question("mine", "c1"), SETTINGS)
    before = await get_conversation(database, owner, conversation.id)
    for attempt in (
        get_conversation(database, other, conversation.id),
        rename_conversation(database, other, conversation.id, "theirs"),
        delete_conversation(database, other, conversation.id),
        add_turn(database, other, conversation.id, Question("theirs", "c1"), SETTINGS),
        conversation_of_message(database, other, turn.user_message.id),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert await list_conversations(database, other) == ()
    assert await get_conversation(database, owner, conversation.id) == before


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_titles_are_one_short_line_from_the_beginning(text: str) -> None:
    title, line = shorten(text), " ".join(text.split())
    assert len(title) <= MAX_TITLE_CHARS + 1
    assert line.startswith(title.removesuffix("…"))
    if len(line) <= MAX_TITLE_CHARS:
        assert title == line


def test_titles_end_at_the_border_of_a_word() -> None:
    assert shorten("Explain to me, " + "please " * 20) == "Explain to me, " + "please " * 5 + "please…"


async def test_what_an_answer_thought_is_kept_while_it_is_made_and_at_its_end(database: Database) -> None:
    owner = (await local_owner(database)).id
    conversation = await create_conversation(database, owner)
    turn = await add_turn(database, owner, conversation.id, Question("a", "c1"), SETTINGS)
    await save_partial_answer(database, turn.assistant_message.id, "", "first the lake")
    _, messages = await get_conversation(database, owner, conversation.id)
    assert messages[1].thinking == "first the lake"
    await finish_answer(
        database, conversation.id, replace(messages[1], thinking="the lake, then", status="complete"), 3
    )
    _, messages = await get_conversation(database, owner, conversation.id)
    assert messages[1].thinking == "the lake, then"


async def test_settings_are_those_of_one_conversation_and_of_answers_from_then_on(database: Database) -> None:
    owner, other = (await local_owner(database)).id, (await create_user(database, "other")).id
    conversation = await create_conversation(database, owner, "m", ConversationSettings("Be brief."))
    first = await add_turn(database, owner, conversation.id, Question("a", "c1"), SETTINGS)
    await finish(database, conversation.id)
    wanted = ConversationSettings("Speak French.", {"temperature": 0.9, "max_tokens": 5}, True)
    with pytest.raises(NotFoundError):
        await choose_settings(database, other, conversation.id, wanted)
    changed = await choose_settings(database, owner, conversation.id, wanted)
    assert (changed.system_prompt, changed.parameters, changed.keeps_probabilities) == tuple(vars(wanted).values())
    second = await add_turn(database, owner, conversation.id, Question("b", "c2"), SETTINGS)
    prompts = [turn.assistant_message.system_prompt for turn in (first, second)]
    assert prompts == ["Be brief.", "Speak French."]
    back = await choose_settings(database, owner, conversation.id, ConversationSettings())
    assert (back.system_prompt, back.parameters, back.keeps_probabilities) == (None, None, False)
