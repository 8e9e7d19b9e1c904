"""Answers from tokens: however tokens cut characters, stop strings, calls and thoughts, nothing is lost or told too early."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.engine.requests import StepOutput
from bise.engine.sampling import TokenLogprob
from bise.server.answer import AnswerWriter
from bise.server.backend import ChatEvent, TextDelta, ThinkingDelta, ToolCallDelta
from bise.server.wire.chat_answers import Choice
from bise.tokenizer.answers import AnswerParts
from tests.engine.test_text import split
from tests.server.test_stop import reference

CONTROLS = ("[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]", "[CALL_ID]", "<think>", "</think>")
WORDS = st.text("aé\n🪿", max_size=30)


class Vocabulary:
    """Control tokens first, then the tokens that a test cuts its text into."""

    drops_first_space = False

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = [b""] * len(CONTROLS) + tokens

    def token_bytes(self, token_id: int) -> bytes:
        return self.tokens[token_id]

    def token_name(self, token_id: int) -> str:
        return self.tokens[token_id].decode(errors="replace")

    def control_id(self, name: str) -> int | None:
        return CONTROLS.index(name) if name in CONTROLS else None

    def encode(self, text: str) -> list[int]:
        self.tokens.append(text.encode())
        return [len(self.tokens) - 1]


def cut(text: str, places: list[int]) -> tuple[Vocabulary, list[int]]:
    """A text with names of control tokens as ids, everything else cut anywhere."""
    vocabulary, ids = Vocabulary([]), []
    for piece in re.split("(" + "|".join(map(re.escape, CONTROLS)) + ")", text):
        if piece in CONTROLS:
            ids.append(CONTROLS.index(piece))
        elif piece:
            ids += [vocabulary.encode("")[0] for _ in split(piece.encode(), places)]
            vocabulary.tokens[-len(split(piece.encode(), places)) :] = split(piece.encode(), places)
    return vocabulary, ids


def tell(writer: AnswerWriter, ids: list[int], reason: str = "stop") -> list[ChatEvent]:
    events: list[ChatEvent] = []
    for place, token in enumerate(ids):
        is_last = place == len(ids) - 1
        logprobs = (TokenLogprob(token, -1.0),)
        events += writer.feed(StepOutput("", (token,), reason if is_last and reason == "length" else None, 0, logprobs))
        if writer.ended:
            return events
    return events + ([] if writer.ended else writer.feed(StepOutput("", (), reason)))


def whole(events: list[ChatEvent]) -> Choice:
    choice = Choice()
    for event in events:
        choice.add(event)
    return choice


@given(WORDS, st.lists(st.text("aé\n🪿", min_size=1, max_size=3), max_size=3), st.lists(st.integers(0, 1000)))
def test_tokens_that_cut_characters_and_stop_strings_anywhere_leak_nothing(
    text: str, stops: list[str], places: list[int]
) -> None:
    vocabulary, ids = cut(text, places)
    writer, shown, expected = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), stops), "", ""
    expected = reference(text, stops)
    for place, token in enumerate(ids):
        shown += "".join(event.text for event in writer.feed(StepOutput("", (token,))))
        assert expected.startswith(shown)  # so no part of a stop string was shown that came to be complete
        if writer.ended:
            break
        # What is held back could still become a character or a stop string.
        said = b"".join(vocabulary.tokens[each] for each in ids[: place + 1])
        held = said[len(shown.encode()) :].decode(errors="ignore")
        assert held == "" or any(stop.startswith(held) and held != stop for stop in stops)
    if not writer.ended:
        shown += "".join(event.text for event in writer.feed(StepOutput("", (), "length")))
    assert shown == expected
    end = writer.finished(3)
    was_stopped = any(stop in text for stop in stops)
    assert end.finish_reason == ("stop" if was_stopped else "length")
    assert (end.stop is not None) == was_stopped


@given(st.binary(max_size=20), st.lists(st.integers(0, 1000)))
def test_bytes_that_are_no_text_are_stopped_as_their_replacements_are(data: bytes, places: list[int]) -> None:
    stops = ["\N{REPLACEMENT CHARACTER}a", "ab"]
    tokens = split(data, places)
    vocabulary = Vocabulary(tokens)
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=False), stops)
    events = tell(writer, [len(CONTROLS) + index for index in range(len(tokens))])
    assert "".join(whole(events).text) == reference(data.decode(errors="replace"), stops)


@given(WORDS, st.lists(st.text("aé\n🪿", min_size=1, max_size=3), max_size=2), st.lists(st.integers(0, 1000)))
def test_the_tokens_told_are_those_that_the_text_begins_in(text: str, stops: list[str], places: list[int]) -> None:
    vocabulary, ids = cut(text, places)
    events = tell(AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), stops), ids)
    choice, told = whole(events), 0
    shown = "".join(choice.text).encode()
    data = b"".join(token.data for token in choice.tokens)
    assert data.startswith(shown)
    if choice.tokens and data != b"".join(vocabulary.tokens[each] for each in ids):
        assert len(data) - len(choice.tokens[-1].data) < len(shown)
    for event in events:
        if isinstance(event, TextDelta):  # a token is never told before the text that it begins in
            told += len(event.text.encode())
            assert event.text or event is events[-1]


CALLS = '[THINK]Hm, où?[/THINK]I look.[TOOL_CALLS]clock[ARGS]{"zone": "Zürich 🪿"}[TOOL_CALLS]sun.rise[ARGS]{}'


@given(st.lists(st.integers(0, 1000)))
def test_calls_and_thoughts_come_whole_however_they_are_cut(places: list[int]) -> None:
    vocabulary, ids = cut(CALLS, places)
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), ["{", "Hm"])
    choice = whole(tell(writer, ids))
    assert "".join(choice.thoughts) == "Hm, où?"
    assert "".join(choice.text) == "I look."
    assert [(call.name, json.loads("".join(call.arguments))) for call in choice.calls] == [
        ("clock", {"zone": "Zürich 🪿"}),
        ("sun.rise", {}),
    ]
    assert all(re.fullmatch("[A-Za-z0-9]{9}", call.id) for call in choice.calls)
    assert choice.calls[0].id != choice.calls[1].id
    assert writer.finished(1).finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "text",
    [
        '[TOOL_CALLS]clock[CALL_ID]123456789[ARGS]{"zone": "Rome"}[TOOL_CALLS]sun[CALL_ID]987654321[ARGS]{}',
        '[TOOL_CALLS][{"name": "clock", "arguments": {"zone": "Rome"}}, {"name": "sun", "arguments": {}}]',
    ],
    ids=["v11", "v3 and v7"],
)
@given(st.lists(st.integers(0, 1000)))
def test_calls_of_older_templates_are_calls(text: str, places: list[int]) -> None:
    vocabulary, ids = cut(text, places)
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), ())
    choice = whole(tell(writer, ids))
    called = [(call.name, json.loads("".join(call.arguments))) for call in choice.calls]
    assert called == [("clock", {"zone": "Rome"}), ("sun", {})]
    assert writer.finished(1).finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Why?", "<think>Hm.</think>So."),
        ("Why?<think>", "Hm.</think>So."),
        ("<think>One.</think>Why?[THINK]", "Hm.[/THINK]So."),
        ("<think></think>Why?", "<think>Hm.</think>So."),
    ],
)
@given(st.lists(st.integers(0, 1000)))
def test_a_thought_may_begin_in_the_prompt(prompt: str, answer: str, places: list[int]) -> None:
    vocabulary, ids = cut(answer, places)
    prompt_ids = [CONTROLS.index(name) for name in re.findall("|".join(map(re.escape, CONTROLS)), prompt)]
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True, prompt_ids=prompt_ids), ())
    choice = whole(tell(writer, ids))
    assert ("".join(choice.thoughts), "".join(choice.text)) == ("Hm.", "So.")


def test_a_closed_thought_leaves_text() -> None:
    vocabulary, ids = cut("So.", [])
    prompt_ids = [CONTROLS.index("<think>"), CONTROLS.index("</think>")]
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=False, prompt_ids=prompt_ids), ())
    assert "".join(whole(tell(writer, ids)).text) == "So."


def test_one_call_only_where_several_are_not_wanted() -> None:
    vocabulary, ids = cut(CALLS, [])
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), (), parallel=False)
    choice = whole(tell(writer, ids))
    assert [call.name for call in choice.calls] == ["clock"]
    assert writer.ended
    assert writer.finished(1).finish_reason == "tool_calls"


def test_a_call_cut_off_by_the_length_says_so() -> None:
    vocabulary, ids = cut('[TOOL_CALLS]clock[ARGS]{"zone', [])
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), ())
    choice = whole(tell(writer, ids, "length"))
    assert "".join(choice.calls[0].arguments) == '{"zone'
    assert writer.finished(1).finish_reason == "length"


def test_a_name_without_a_call_is_not_lost() -> None:
    vocabulary, ids = cut("Well: [TOOL_CALLS]clock", [])
    writer = AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=True), ())
    assert "".join(whole(tell(writer, ids)).text) == "Well: clock"
    assert writer.finished(1).finish_reason == "stop"


def test_without_tools_there_are_no_calls() -> None:
    vocabulary, ids = cut("a[TOOL_CALLS]b[ARGS]c[THINK]d", [])
    events = tell(AnswerWriter(vocabulary, AnswerParts(vocabulary, tools=False), ()), ids)
    assert "".join(whole(events).text) == "abc"
    assert not any(isinstance(event, ToolCallDelta) for event in events)
    assert "".join(e.text for e in events if isinstance(e, ThinkingDelta)) == "d"
    plain = AnswerParts(vocabulary, tools=False, thoughts=False)
    assert "".join(whole(tell(AnswerWriter(vocabulary, plain, ()), ids)).text) == "abcd"
