"""Corrections made in the chat become an adapter that the engine serves, and that answers new phrasings as corrected."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bise.app.learning import Learned, Learning
from bise.cli.main import main
from bise.errors import BiseError
from bise.runs import read_manifest
from bise.store.accounts import create_user, local_owner
from bise.store.branches import AnswerSettings, Question, add_turn
from bise.store.conversations import create_conversation
from bise.store.database import Database, open_database
from bise.store.feedback import improve_answer, rate_answer
from bise.store.turns import Rating
from bise.weights.adapters import find_adapter
from tests.store.talk import Talk

FACTS = {
    "The bakery opens at six.": (
        "When does the bakery open?",
        "What time does the bakery open?",
        "Do you know when the bakery opens?",
        "Tell me when the bakery opens.",
        "At what hour does the bakery open?",
        "I need the opening time of the bakery.",
        "How early does the bakery open?",
        "When can I go to the bakery?",
    ),
    "The key hangs behind the door.": (
        "Where is the key?",
        "Where do you keep the key?",
        "I cannot find the key.",
        "Tell me where the key is.",
        "Do you know where the key is?",
        "Where did we put the key?",
        "How do I find the key?",
        "Where should I look for the key?",
    ),
}


async def give_feedback(facts: dict[str, tuple[str, ...]], user: str | None = None) -> None:
    """In a conversation each, as the page would have it."""
    database = await open_database()
    try:
        owner = (await (create_user(database, user) if user else local_owner(database))).id
        for answer, questions in facts.items():
            for question in questions:
                message = await _ask(database, owner, question)
                await improve_answer(database, owner, message, answer)
        greeting = await _ask(database, owner, "Hello, write to ada@example.org!")
        await rate_answer(database, owner, greeting, Rating("up", None, None))
    finally:
        await database.close()


async def _ask(database: Database, owner: str, question: str) -> str:
    talk = Talk(database, owner, (await create_conversation(database, owner)).id)
    turn = await add_turn(database, owner, talk.id, Question(question, "c", None), AnswerSettings("bise-demo", {}))
    await talk.finish(turn, "I do not know that.")
    return turn.assistant_message.id


async def _owner() -> str:
    database = await open_database()
    try:
        return (await local_owner(database)).id
    finally:
        await database.close()


def bise(*arguments: str) -> Any:
    return CliRunner().invoke(main, arguments)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BISE_HOME", str(tmp_path))
    return tmp_path


def test_too_little_feedback_is_told_with_what_to_do(home: Path) -> None:
    asyncio.run(give_feedback({answer: questions[:1] for answer, questions in FACTS.items()}))
    result = bise("tune", "--from-feedback", "--yes")
    assert isinstance(result.exception, BiseError)
    assert "There are 3 lessons for bise-demo" in str(result.exception)
    assert "Write better answers" in str(result.exception)


def test_nobody_at_the_terminal_approves_nothing(home: Path) -> None:
    asyncio.run(give_feedback(FACTS))
    result = bise("tune", "--from-feedback")
    assert "add --yes" in str(result.exception)
    assert "16 x better answer, 1 x thumb up" in result.stderr
    assert "Personal data masked: 1 x email" in result.stderr
    assert "instead of: I do not know that." in result.stderr
    assert not (home / "runs").exists()


def test_only_the_feedback_of_the_named_user_is_read(home: Path) -> None:
    asyncio.run(give_feedback(FACTS, "ada"))
    assert "There are 0 lessons" in str(bise("tune", "--from-feedback", "--yes").exception)
    assert "16 x better answer" in bise("tune", "--from-feedback", "--user", "ada").stderr
    unknown = bise("tune", "--from-feedback", "--user", "eve")
    assert str(unknown.exception) == "There is no user 'eve'. The users are: ada, owner."


@pytest.mark.parametrize(
    "arguments", [(), ("x.toml", "--from-feedback"), ("x.toml", "--name", "x"), ("--from-feedback", "--set", "a=1")]
)
def test_a_recipe_and_feedback_exclude_each_other(arguments: tuple[str, ...]) -> None:
    result = bise("tune", *arguments)
    assert result.exit_code == 2
    assert "Give either a RECIPE" in result.stderr or "go with --from-feedback" in result.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_corrections_change_the_answers_to_questions_that_were_never_corrected(home: Path) -> None:
    asyncio.run(give_feedback(FACTS))
    result = bise("tune", "--from-feedback", "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    run = home / "runs/tune/feedback-1"
    assert told == json.loads((run / "comparison.json").read_text())
    assert (told["learned"], told["held_out"], told["adapter"]) == (14, 3, "bise-demo:feedback-1")
    assert told["after"]["pairs und"]["accuracy"] == 1.0, "what was wanted is likelier than what was said"
    assert told["after"]["und"]["loss"] < told["before"]["und"]["loss"] / 3
    assert sum(row["before"] == row["wanted"] for row in told["answers"]) == 0
    assert sum(row["after"] == row["wanted"] for row in told["answers"]) >= 2
    assert {row["wanted"] for row in told["answers"]} == FACTS.keys(), "some of each answer is held out"
    assert told["like_wanted"]["before"] < 0.3 < 0.6 < told["like_wanted"]["after"]
    assert told["num_others"] > 30
    assert 0.5 < told["others_like_before"] <= 1
    assert "ada@example.org" not in (run / "learned.jsonl").read_text()
    assert not (run / "model").exists(), "the base is not written again"
    assert find_adapter("bise-demo", "feedback-1").problem is None
    assert read_manifest(run).inputs[0].kind == "model"
    held_out = told["answers"][0]
    asked = bise("ask", "-m", "bise-demo:feedback-1", held_out["question"], "--json")
    assert asked.exit_code == 0, asked.stderr
    assert json.loads(asked.stdout)["text"].strip() != held_out["before"]
    owner, learning = asyncio.run(_owner()), Learning()
    assert learning.learned(owner) == learning.forget(owner) == Learned(1, ("bise-demo:feedback-1",))
    assert [path for path in (home / "runs").rglob("*") if path.is_file()] == [run / "owner.json"]
    kept = b"".join(
        path.read_bytes() for path in home.rglob("*") if path.is_file() and not path.name.startswith("bise.db")
    )
    assert not any(text.encode() in kept for answer, questions in FACTS.items() for text in (answer, *questions))
