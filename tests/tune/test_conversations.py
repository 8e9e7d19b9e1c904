"""Conversations are read whole or refused with file, line and reason."""

import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from bise.corpus.recipe import SourceFile
from bise.errors import InputError, NotFoundError
from bise.runs import sha256_file
from bise.tune.conversations import parse, read_source
from bise.tune.recipe import ConversationSource

ASK = {"role": "user", "content": "Hello"}
ANSWER = {"role": "assistant", "content": "Hello! How can I help?"}
CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "abc123xyz", "function": {"name": "wind", "arguments": '{"city": "Genève"}'}}],
}
RESULT = {"role": "tool", "content": "north", "tool_call_id": "abc123xyz"}
TOOL = {"function": {"name": "wind", "description": "Where it blows from", "parameters": {"type": "object"}}}


def line(*messages: Any, **fields: Any) -> str:
    return json.dumps({"messages": messages, **fields})


def source(path: Path, **fields: Any) -> ConversationSource:
    return ConversationSource("talk", "Apache-2.0", (SourceFile(path.name),), **fields)


def test_a_conversation_with_tools() -> None:
    conversation = parse(line({"role": "system", "content": "Be brief."}, ASK, CALL, RESULT, ANSWER, tools=[TOOL]))
    assert conversation.conversation.tools[0].name == "wind"
    assert conversation.conversation.messages[2].tool_calls[0].arguments == '{"city": "Genève"}'
    assert conversation.conversation.messages[3].tool_call_id == "abc123xyz"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ('{"messages": "Hello"}', "not an object"),
        (line(ASK, ANSWER, lang=7), '"lang" is 7'),
        (line(), "the last message is not an answer"),
        (line(ASK), "the last message is not an answer"),
        (line(ANSWER), "message 1 is by assistant"),
        (line(ASK, ASK, ANSWER), "message 2 is by user"),
        (line(ASK, ANSWER, ANSWER), "message 3 is by assistant"),
        (line(ASK, {"role": "system", "content": "Late."}, ANSWER), "message 2 is by system"),
        (line(ASK, {"role": "robot", "content": "Beep."}), "message 2 has no role"),
        (line(ASK, {"role": "assistant", "content": " \n"}), "message 2 is empty"),
        (line(ASK, {"role": "assistant", "content": 3}), "content of message 2 is not text"),
        (line(ASK, {"role": "assistant"}), "content of message 2 is not text"),
        (line(ASK, CALL), "the last message is not an answer"),
        (line(ASK, CALL, ANSWER), "message 3 is by assistant, but after assistant only tool"),
        (line(ASK, RESULT, ANSWER), "message 2 is by tool"),
        (line({**ASK, "tool_calls": CALL["tool_calls"]}, ANSWER), "message 1 has tool_calls"),
        (line(ASK, {**CALL, "tool_calls": [{"id": 3}]}, RESULT, ANSWER), "a tool call of message 2"),
        (line(ASK, ANSWER, tools=["wind"]), "a tool is not"),
        (line(ASK, ANSWER, tools="wind"), '"tools" is not a list'),
        (line(ASK, ANSWER, tool=[TOOL]), r"unknown key tool \(known: messages,.* ignored_keys of the source"),
        (line(ASK, {**ANSWER, "contents": "x"}), r"unknown key contents in message 2 \(known: role, content"),
        (" \n", "the line is empty"),
        (line(ASK, chosen="Hi"), 'this one has no "rejected"'),
        (line(ASK, chosen="Hi", rejected="Hi"), "are the same answer"),
        (line(ASK, ANSWER, chosen="Hi", rejected="No"), "message 3 is by assistant"),
        (line(ASK, chosen="Hi", rejected=ASK), "message 2 is by user"),
        (line(ASK, chosen="Hi", rejected=[ANSWER, ASK]), '"rejected" holds 2 messages'),
        (line(ASK, chosen="Hi", rejected=7), "message 2 has no role"),
        (json.dumps({"prompt": "Hello", "chosen": "Hi", "rejected": "No"}), 'needs a list "messages"'),
        (json.dumps({"chosen": [ASK, ANSWER], "rejected": [{**ASK, "content": "x"}, ANSWER]}), "more than their last"),
        (json.dumps({"chosen": [], "rejected": []}), "more than their last"),
    ],
)
def test_a_line_that_breaks_the_rules(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


def test_faults_are_named_by_file_and_line_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text("\n".join([line(ASK, ANSWER), line(ASK), *["{"] * 7]) + "\n", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_source(source(path), tmp_path)
    assert "8 lines of the conversations talk" in str(caught.value)
    assert f"{path}:2: the last message" in str(caught.value)
    assert "and 3 more" in str(caught.value)


def test_a_preference_in_every_shape_that_others_write_is_the_same() -> None:
    better, worse = {"role": "assistant", "content": "Hi"}, {"role": "assistant", "content": "No"}
    shapes = [
        {"messages": [ASK], "chosen": "Hi", "rejected": "No"},
        {"messages": [ASK], "chosen": better, "rejected": worse},
        {"prompt": [ASK], "chosen": [better], "rejected": [worse]},
        {"chosen": [ASK, better], "rejected": [ASK, worse]},
    ]
    first, *others = (parse(json.dumps(shape)) for shape in shapes)
    assert first.rejected is not None
    assert first.conversation.messages[-1].content == "Hi"
    assert first.with_rejected().messages[-1].content == "No"
    assert all(other.with_rejected() == first.with_rejected() for other in others)
    assert all(other.conversation == first.conversation for other in others)


def test_a_file_of_nothing_and_keys_to_be_ignored(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.touch()
    with pytest.raises(InputError, match=r"talk\.jsonl is empty\. Put one conversation"):
        read_source(source(path), tmp_path)
    path.write_text(line(ASK, ANSWER, score=3) + "\n\n" + line(ASK, ANSWER) + "\n")
    with pytest.raises(InputError, match=r"2 lines .*\n.*:1: unknown key score.*\n.*:2: the line is empty"):
        read_source(source(path), tmp_path)
    path.write_text(line(ASK, ANSWER, score=3) + "\n")
    assert len(read_source(source(path, ignored_keys=("score",)), tmp_path)) == 1


def test_packed_files_and_filters(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl.xz"
    lines = [line(ASK, {**ANSWER, "content": f"Number {n}"}, lang="en") for n in range(9)]
    lines += [line(ASK, {**ANSWER, "content": "Nombre"}, lang="fr")]
    path.write_bytes(lzma.compress("\n".join(lines).encode()))
    assert len(read_source(source(path), tmp_path)) == 10
    assert [entry.lang for entry in read_source(source(path, languages=("fr",)), tmp_path)] == ["fr"]
    assert len(read_source(source(path, leave_out="number [0-3]"), tmp_path)) == 6
    capped = read_source(source(path, max_conversations=4), tmp_path)
    assert len(capped) == 4
    assert capped == read_source(source(path, max_conversations=4), tmp_path)


def test_a_missing_file_says_where_it_comes_from(tmp_path: Path) -> None:
    wanted = source(tmp_path / "talk.jsonl", repository="https://example.org/talk", commit="abc")
    with pytest.raises(NotFoundError, match=r"--set sources\.root=DIR.*example\.org/talk at commit abc"):
        read_source(wanted, tmp_path)


def test_another_file_than_named(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(line(ASK, ANSWER), encoding="utf-8")
    right = ConversationSource("talk", "MIT", (SourceFile(path.name, sha256_file(path)),))
    assert len(read_source(right, tmp_path)) == 1
    path.write_text(line(ASK, ANSWER) + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="not the file the recipe names"):
        read_source(right, tmp_path)


def test_a_cut_off_file(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl.xz"
    path.write_bytes(lzma.compress(line(ASK, ANSWER).encode())[:-9])
    with pytest.raises(InputError, match="could not be read"):
        read_source(source(path), tmp_path)


@pytest.mark.parametrize("fields", [{"repeats": 0.0}, {"leave_out": "("}, {"max_tokens": 0}])
def test_a_source_that_cannot_be_read(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        source(Path("talk.jsonl"), **fields)
