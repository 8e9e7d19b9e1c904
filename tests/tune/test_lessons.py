"""What was said in the chat becomes lessons: each once, the last word first, without personal data."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bise.messages import Conversation, Message
from bise.store.feedback import FeedbackItem
from bise.store.turns import Rating
from bise.tune.conversations import parse
from bise.tune.lessons import Lessons, collect

UP, DOWN = Rating("up", None, None), Rating("down", "wrong", None)


def item(kind: str, number: int, *turns: str, **said: Any) -> FeedbackItem:
    """What was said `number` minutes after noon about the answer to the last of some turns, which begin with the user."""
    roles = ("user", "assistant")
    messages = tuple(Message(roles[place % 2], text) for place, text in enumerate(turns or ("Hello",)))  # type: ignore[arg-type]
    fields: dict[str, Any] = {
        "message_id": f"m{number}",
        "excluded": False,
        "model": "bise-demo",
        "answer": "Hm.",
        "conversation": Conversation(messages),
    }
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(minutes=number)
    return FeedbackItem(f"i{number}", kind, "c", created_at=moment, parameters={}, **(fields | said))  # type: ignore[arg-type]


def learn(*items: FeedbackItem) -> Lessons:
    return collect(items, "bise-demo")


def test_each_kind_of_feedback_teaches_what_it_says() -> None:
    lessons = learn(
        item("rating", 1, "Hello", answer="Hi!", rating=UP),
        item("better_answer", 2, "Who are you?", answer="A cat.", better="I am Bise."),
        item("preference", 3, "Wind?", answer="North.", other="It blows from the north.", verdict="second"),
    )
    assert [(lesson.question, lesson.chosen, lesson.rejected) for lesson in lessons.taught] == [
        ("Wind?", "It blows from the north.", "North."),
        ("Who are you?", "I am Bise.", "A cat."),
        ("Hello", "Hi!", None),
    ]
    assert not lessons.left_out
    for lesson in lessons.taught:
        line = parse(json.dumps(lesson.as_line()))
        assert line.conversation.messages[-1].content == lesson.chosen
        assert (line.rejected and line.rejected.content) == lesson.rejected


@pytest.mark.parametrize(
    ("useless", "reason"),
    [
        (item("rating", 1, rating=DOWN), "thumb down without a better answer"),
        (item("rating", 1, rating=UP, excluded=True), "excluded by you"),
        (item("rating", 1, rating=UP, model="other"), "about another model"),
        (item("rating", 1, rating=UP, model=None), "about another model"),
        (item("preference", 1, other="Hi", verdict="equal"), "both answers equally good"),
        (item("rating", 1, rating=UP, conversation=Conversation(())), "no question before the answer"),
    ],
)
def test_what_teaches_nothing_is_counted_with_its_reason(useless: FeedbackItem, reason: str) -> None:
    lessons = learn(useless)
    assert lessons.taught == []
    assert lessons.left_out == {reason: 1}


def test_a_better_answer_replaces_the_thumb_on_the_same_answer() -> None:
    for rating in (UP, DOWN):
        lessons = learn(item("rating", 1, rating=rating), item("better_answer", 2, message_id="m1", better="Better."))
        assert [lesson.chosen for lesson in lessons.taught] == ["Better."]
        assert lessons.left_out == {"the better answer counts instead": 1}


def test_an_answer_of_an_adapter_teaches_its_model() -> None:
    assert len(learn(item("rating", 1, rating=UP, model="bise-demo:feedback-1")).taught) == 1


def test_what_was_said_last_counts_and_nothing_counts_twice() -> None:
    lessons = learn(
        item("rating", 1, answer="Hm.", rating=UP),
        item("better_answer", 2, answer="Hm.", better="Hello!"),
        item("better_answer", 3, answer="Hm.", better="Hello!"),
    )
    assert [(lesson.chosen, lesson.rejected) for lesson in lessons.taught] == [("Hello!", "Hm.")]
    assert lessons.left_out == {"said before": 1, "contradicted later": 1}


def test_personal_data_is_masked_in_questions_and_answers_and_counted() -> None:
    (lesson,) = (
        lessons := learn(
            item(
                "better_answer",
                1,
                "Hello",
                "Hi!",
                "Write to ada@example.org",
                answer="To ada@example.org?",
                better="Done. Call +41 22 345 67 89.",
            )
        )
    ).taught
    assert lesson.question == "Write to <EMAIL>"
    assert (lesson.chosen, lesson.rejected) == ("Done. Call <PHONE>.", "To <EMAIL>?")
    assert lessons.masked == {"email": 2, "phone": 1}
    assert lessons.contacts == {"ada@example.org": 2, "+41 22 345 67 89": 1}


def test_questions_that_had_no_answer_stand_in_one_message() -> None:
    conversation = Conversation((Message("system", "Be brief."), Message("user", "A"), Message("user", "B")))
    (lesson,) = learn(item("rating", 1, conversation=conversation, answer="C", rating=UP)).taught
    assert lesson.messages == (Message("system", "Be brief."), Message("user", "A\n\nB"))


def test_contacts_are_learned_as_they_are_where_somebody_says_so_and_nothing_else_is() -> None:
    better = "Call +41 22 345 67 89 or write to ada@example.org; pay to CH93 0076 2011 6238 5295 7."
    said = item("better_answer", 1, "How do I reach the shop?", answer="No idea.", better=better)
    lessons = collect([said], "bise-demo", keep_contacts=True)
    assert lessons.taught[0].chosen == "Call +41 22 345 67 89 or write to ada@example.org; pay to <IBAN>."
    assert lessons.masked == {"iban": 1}
    assert set(lessons.contacts) == {"+41 22 345 67 89", "ada@example.org"}
