"""The conversations that the shipped model is tuned on: what is committed is what the tables say, and it is sound."""

import importlib.util
import json
import re
import unicodedata
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes" / "conversations"
HELD_OUT = ROOT / "tests" / "data" / "heldout_prompts.jsonl"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_conversations", FOLDER / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def bare(text: str) -> str:
    """Lower-case letters and digits without accents, so that a prompt is not "held out" by its punctuation."""
    decomposed = unicodedata.normalize("NFD", text.casefold())
    letters = "".join(c for c in decomposed if not unicodedata.combining(c))
    return " ".join(re.findall(r"[^\W_]+|[+×−*]", letters))


@pytest.fixture(scope="module")
def committed() -> dict[str, list[dict[str, Any]]]:
    return {lang: read(FOLDER / f"{lang}.jsonl") for lang in generator.LANGUAGES}


def test_committed_files_are_what_the_tables_generate() -> None:
    for lang, text in generator.generate().items():
        assert (FOLDER / f"{lang}.jsonl").read_text("utf-8") == text, "run python recipes/conversations/generate.py"


def test_every_table_covers_the_same_ground() -> None:
    tables = generator.load_tables()
    for group in ("intents", "facts", "topics", "countries", "stories", "poems", "languages", "frames", "unknown"):
        for lang in generator.LANGUAGES:
            assert tables[lang][group].keys() == tables["en"][group].keys(), (lang, group)


def test_every_line_is_a_whole_conversation(committed: dict[str, list[dict[str, Any]]]) -> None:
    for lang, rows in committed.items():
        for row in rows:
            assert row.keys() == {"messages", "lang", "source"}
            assert (row["lang"], row["source"]) == (lang, "bise")
            roles = [message["role"] for message in row["messages"]]
            turns = roles[1:] if roles[0] == "system" else roles
            assert turns == ["user", "assistant"] * (len(turns) // 2)
            assert turns
            for message in row["messages"]:
                assert message.keys() == {"role", "content"}
                assert message["content"] == message["content"].strip() != ""
                assert not re.search(r"\{\w*\}", message["content"]), "a slot was left open"


def test_conversations_fit_the_context_of_the_shipped_model(committed: dict[str, list[dict[str, Any]]]) -> None:
    longest = max(sum(len(m["content"]) for m in row["messages"]) for rows in committed.values() for row in rows)
    assert longest <= generator.MAX_CHARACTERS


def test_no_duplicates(committed: dict[str, list[dict[str, Any]]]) -> None:
    seen = [json.dumps(row["messages"]) for rows in committed.values() for row in rows]
    assert len(seen) == len(set(seen))


def test_one_question_is_answered_in_one_language(committed: dict[str, list[dict[str, Any]]]) -> None:
    languages = defaultdict(set)
    for lang, rows in committed.items():
        for row in rows:
            if row["messages"][0]["role"] == "user":
                languages[row["messages"][0]["content"].casefold()].add(lang)
    assert {text: langs for text, langs in languages.items() if len(langs) > 1} == {}


def test_languages_are_balanced_and_files_small(committed: dict[str, list[dict[str, Any]]]) -> None:
    counts = {lang: len(rows) for lang, rows in committed.items()}
    assert max(counts.values()) <= 1.25 * min(counts.values()), counts
    assert min(counts.values()) >= 1200
    assert sum((FOLDER / f"{lang}.jsonl").stat().st_size for lang in committed) <= 3_500_000


def test_answers_are_typeset(committed: dict[str, list[dict[str, Any]]]) -> None:
    for lang, rows in committed.items():
        for row in rows:
            for message in row["messages"]:
                if message["role"] == "assistant":
                    assert not re.search(r"\w'", message["content"])
                    assert not (lang == "fr" and re.search(r" [?!:;»]|« ", message["content"]))


def test_held_out_prompts_are_in_no_training_file(committed: dict[str, list[dict[str, Any]]]) -> None:
    trained = {
        bare(message["content"])
        for rows in committed.values()
        for row in rows
        for message in row["messages"]
        if message["role"] == "user"
    }
    held_out = read(HELD_OUT)
    for lang in generator.LANGUAGES:
        mine = [prompt for prompt in held_out if prompt["lang"] == lang]
        assert len(mine) >= 12
        assert [p["prompt"] for p in mine if bare(p["prompt"]) in trained] == []


def test_a_changed_table_line_leaves_other_single_turns_as_they_were() -> None:
    tables = generator.load_tables()
    before = {talk for talk in generator.conversations(tables)["en"] if len(talk.exchanges) == 1}
    tables["en"]["topics"]["moon"][1] = "The Moon is a rock."
    after = {talk for talk in generator.conversations(tables)["en"] if len(talk.exchanges) == 1}
    changed = before - after
    assert changed
    assert all("Moon" in talk.exchanges[0].assistant for talk in changed)
