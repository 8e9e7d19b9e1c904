"""Calls of tools, thoughts, log probabilities and several answers, as the official clients of OpenAI and Mistral see them."""

import json
import math

import openai
import pytest
from mistralai.client import Mistral

from bise.server.backend import (
    Finished,
    ResponseFormat,
    ScoredToken,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    ToolChoice,
)
from tests.server.conftest import Served

pytestmark = pytest.mark.slow

ASK = [{"role": "user", "content": "How late is it?"}]
SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}}, "required": ["zone"]}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": "Tells it.", "parameters": SCHEMA}}
    for name in ("clock", "sun_rise")
]
CALLS = (
    TextDelta("I look."),
    ToolCallDelta(0, "a1B2c3D4e", "clock", ""),
    ToolCallDelta(0, "", "", '{"zone": '),
    ToolCallDelta(0, "", "", '"Zürich"}'),
    ToolCallDelta(1, "zzzzzzzz9", "sun_rise", ""),
    ToolCallDelta(1, "", "", '{"zone": "Rome"}'),
    Finished("tool_calls", 5, 9),
)
EXPECTED = [("a1B2c3D4e", "clock", {"zone": "Zürich"}), ("zzzzzzzz9", "sun_rise", {"zone": "Rome"})]


def calls_of(message) -> list[tuple[str, str, dict]]:
    return [(c.id, c.function.name, json.loads(c.function.arguments)) for c in message.tool_calls]


async def test_openai_gets_calls_whole_and_streamed(gpt: openai.AsyncOpenAI, served: Served) -> None:
    served.backend.events = CALLS
    whole = await gpt.chat.completions.create(model="scripted", messages=ASK, tools=TOOLS)
    assert whole.choices[0].finish_reason == "tool_calls"
    assert whole.choices[0].message.content == "I look."
    assert calls_of(whole.choices[0].message) == EXPECTED
    async with gpt.chat.completions.stream(model="scripted", messages=ASK, tools=TOOLS) as stream:
        async for _ in stream:
            pass
        final = await stream.get_final_completion()
    assert calls_of(final.choices[0].message) == EXPECTED
    assert final.choices[0].finish_reason == "tool_calls"


async def test_mistral_gets_calls_whole_and_streamed(mistral: Mistral, served: Served) -> None:
    served.backend.events = CALLS
    whole = await mistral.chat.complete_async(model="scripted", messages=ASK, tools=TOOLS, tool_choice="any")
    assert calls_of(whole.choices[0].message) == EXPECTED
    stream = await mistral.chat.stream_async(model="scripted", messages=ASK, tools=TOOLS)
    calls: dict[int, list[str]] = {}
    reasons = []
    async for event in stream:
        choice = event.data.choices[0]
        reasons.append(choice.finish_reason)
        for call in choice.delta.tool_calls or ():
            name, arguments = calls.setdefault(call.index, ["", ""])
            calls[call.index] = [name + call.function.name, arguments + call.function.arguments]
    assert [(name, json.loads(text)) for name, text in calls.values()] == [each[1:] for each in EXPECTED]
    assert reasons[-1] == "tool_calls"


async def test_the_conversation_with_its_calls_and_results_arrives(gpt: openai.AsyncOpenAI, served: Served) -> None:
    served.backend.events = CALLS
    first = await gpt.chat.completions.create(model="scripted", messages=ASK, tools=TOOLS)
    message = first.choices[0].message.model_dump(exclude_none=True)
    results = [{"role": "tool", "tool_call_id": call_id, "content": "12:05"} for call_id, _, _ in EXPECTED]
    await gpt.chat.completions.create(model="scripted", messages=[*ASK, message, *results], tools=TOOLS)
    conversation = served.backend.requests[-1].conversation
    assert [m.role for m in conversation.messages] == ["user", "assistant", "tool", "tool"]
    assert [(c.id, c.name, json.loads(c.arguments)) for c in conversation.messages[1].tool_calls] == EXPECTED
    assert [m.tool_call_id for m in conversation.messages[2:]] == [call_id for call_id, _, _ in EXPECTED]
    assert [(tool.name, tool.parameters) for tool in conversation.tools] == [("clock", SCHEMA), ("sun_rise", SCHEMA)]


async def test_arguments_may_be_an_object_and_thoughts_may_come_back(served: Served) -> None:
    call = {"id": "a", "function": {"name": "clock", "arguments": {"zone": "Rome"}}}
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    said = {"role": "assistant", "content": [thought, {"type": "text", "text": "Well."}], "tool_calls": [call]}
    messages = [*ASK, said, {"role": "tool", "tool_call_id": "a", "content": "12"}]
    response = await served.client.post("/v1/chat/completions", json={"model": "scripted", "messages": messages})
    assert response.status_code == 200, response.text
    message = served.backend.requests[-1].conversation.messages[1]
    assert (message.content, message.tool_calls[0].arguments) == ("Well.", '{"zone": "Rome"}')


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", ToolChoice("auto", None, True)),
        ("none", ToolChoice("none", None, True)),
        ("required", ToolChoice("required", None, True)),
        ({"type": "function", "function": {"name": "clock"}}, ToolChoice("required", "clock", True)),
    ],
)
async def test_both_clients_choices_arrive(
    gpt: openai.AsyncOpenAI, mistral: Mistral, served: Served, choice: object, expected: ToolChoice
) -> None:
    await gpt.chat.completions.create(model="scripted", messages=ASK, tools=TOOLS, tool_choice=choice)
    theirs = "any" if choice == "required" else choice
    await mistral.chat.complete_async(model="scripted", messages=ASK, tools=TOOLS, tool_choice=theirs)
    await gpt.chat.completions.create(
        model="scripted", messages=ASK, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False
    )
    first, second, third = (request.tool_choice for request in served.backend.requests)
    assert first == second == expected
    assert third == ToolChoice(expected.mode, expected.name, False)


async def test_a_response_format_arrives_from_both_clients(
    gpt: openai.AsyncOpenAI, mistral: Mistral, served: Served
) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA, "strict": True}}
    await gpt.chat.completions.create(model="scripted", messages=ASK, response_format=schema)
    theirs = {"type": "json_schema", "json_schema": {"name": "place", "schema_definition": SCHEMA, "strict": True}}
    await mistral.chat.complete_async(model="scripted", messages=ASK, response_format=theirs)
    await gpt.chat.completions.create(model="scripted", messages=ASK, response_format={"type": "json_object"})
    formats = [request.response_format for request in served.backend.requests]
    assert formats == [ResponseFormat("json_schema", SCHEMA, "place")] * 2 + [ResponseFormat("json_object")]


async def test_every_way_to_draw_arrives(gpt: openai.AsyncOpenAI, served: Served) -> None:
    await gpt.chat.completions.create(
        model="scripted",
        messages=ASK,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={"17": -100, "18": 2},
        extra_body={"top_k": 7, "min_p": 0.1, "min_tokens": 2, "repetition_penalty": 1.1},
    )
    asked = served.backend.requests[-1].sampling
    assert (asked.presence_penalty, asked.frequency_penalty, asked.repetition_penalty) == (0.5, -0.5, 1.1)
    assert (asked.logit_bias, asked.top_k, asked.min_p, asked.min_tokens) == (((17, -100), (18, 2)), 7, 0.1, 2)


async def test_thoughts_are_told_to_those_who_ask(gpt: openai.AsyncOpenAI, mistral: Mistral, served: Served) -> None:
    served.backend.events = (
        ThinkingDelta("Let me "),
        ThinkingDelta("see."),
        TextDelta("Noon."),
        Finished("stop", 3, 4),
    )
    plain = await gpt.chat.completions.create(model="scripted", messages=ASK)
    assert plain.choices[0].message.content == "Noon."
    asked = await mistral.chat.complete_async(model="scripted", messages=ASK, prompt_mode="reasoning")
    thought, text = asked.choices[0].message.content
    assert (thought.thinking[0].text, text.text) == ("Let me see.", "Noon.")
    stream = await mistral.chat.stream_async(model="scripted", messages=ASK, reasoning_effort="high")
    deltas = [event.data.choices[0].delta.content async for event in stream]
    thoughts = [part.thinking[0].text for delta in deltas if isinstance(delta, list) for part in delta]
    assert "".join(thoughts) == "Let me see."
    assert "".join(delta for delta in deltas if isinstance(delta, str)) == "Noon."


async def test_log_probabilities_come_with_the_text(gpt: openai.AsyncOpenAI, served: Served) -> None:
    other = ScoredToken("d", b"d", -1.5)
    first = ScoredToken("c", b"c", -0.25, (ScoredToken("c", b"c", -0.25), other))
    served.backend.events = (
        TextDelta("c", tokens=(first,)),
        TextDelta("é", tokens=(ScoredToken("\N{REPLACEMENT CHARACTER}", b"\xc3", -1.0),)),
        TextDelta("", tokens=(ScoredToken("\N{REPLACEMENT CHARACTER}", b"\xa9", -2.0),)),
        Finished("stop", 3, 3),
    )
    whole = await gpt.chat.completions.create(model="scripted", messages=ASK, logprobs=True, top_logprobs=2)
    content = whole.choices[0].logprobs.content
    assert bytes(byte for token in content for byte in token.bytes).decode() == "cé"
    assert [token.logprob for token in content] == [-0.25, -1.0, -2.0]
    assert [(t.token, t.logprob) for t in content[0].top_logprobs] == [("c", -0.25), ("d", -1.5)]
    assert math.exp(content[0].logprob) <= 1
    stream = await gpt.chat.completions.create(model="scripted", messages=ASK, logprobs=True, stream=True)
    chunks = [chunk.choices[0] async for chunk in stream]
    assert [t.logprob for c in chunks if c.logprobs for t in c.logprobs.content] == [-0.25, -1.0, -2.0]
    assert served.backend.requests[0].sampling.logprobs == 2
    assert served.backend.requests[1].sampling.logprobs == 0


async def test_several_answers_come_side_by_side(gpt: openai.AsyncOpenAI, mistral: Mistral, served: Served) -> None:
    served.backend.events = (
        TextDelta("a", 0),
        TextDelta("b", 1),
        Finished("length", 3, 1, 1),
        TextDelta("c", 0),
        Finished("stop", 3, 2, 0),
    )
    whole = await gpt.chat.completions.create(model="scripted", messages=ASK, n=2)
    assert [(c.index, c.message.content, c.finish_reason) for c in whole.choices] == [
        (0, "ac", "stop"),
        (1, "b", "length"),
    ]
    assert (whole.usage.prompt_tokens, whole.usage.completion_tokens) == (3, 3)
    stream = await mistral.chat.stream_async(model="scripted", messages=ASK, n=2)
    chunks = [event.data async for event in stream]
    texts = ["", ""]
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content
    assert texts == ["ac", "b"]
    assert chunks[-1].usage.completion_tokens == 3
    assert served.backend.requests[0].sampling.n == 2


async def test_a_safe_prompt_is_a_message_of_the_system(mistral: Mistral, served: Served) -> None:
    await mistral.chat.complete_async(model="scripted", messages=ASK, safe_prompt=True)
    roles = [message.role for message in served.backend.requests[-1].conversation.messages]
    assert roles == ["system", "user"]
