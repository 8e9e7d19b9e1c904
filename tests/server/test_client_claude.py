"""Anthropic's official client, unmodified, against a real server."""

import json

import anthropic
import pytest

from bise.errors import UnavailableError
from bise.server.backend import Finished, ResponseFormat, TextDelta, ThinkingDelta, ToolCallDelta, ToolChoice
from tests.scripted_backend import WORDS
from tests.server.conftest import Served

pytestmark = pytest.mark.slow

ANSWER = "".join(WORDS)
ASK = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"zone": {"type": "string"}}}
TOOLS = [{"name": "clock", "description": "Tells the time.", "input_schema": SCHEMA}]
CALLS = (
    ThinkingDelta("Hm."),
    TextDelta("I look."),
    ToolCallDelta(0, "a1B2c3D4e", "clock", ""),
    ToolCallDelta(0, "", "", '{"zone": '),
    ToolCallDelta(0, "", "", '"Rome"}'),
    ToolCallDelta(1, "zzzzzzzz9", "clock", ""),
    Finished("tool_calls", 5, 9),
)


async def test_whole_and_streamed_say_the_same(claude: anthropic.AsyncAnthropic) -> None:
    whole = await claude.messages.create(model="scripted", max_tokens=9, system="Be brief.", messages=ASK)
    async with claude.messages.stream(model="scripted", max_tokens=9, system="Be brief.", messages=ASK) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert whole.content[0].text == text == final.content[0].text == ANSWER
    assert whole.stop_reason == final.stop_reason == "end_turn"
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (5, 6)
    assert (final.usage.input_tokens, final.usage.output_tokens) == (5, 6)
    assert (whole.role, whole.type, whole.model) == ("assistant", "message", "scripted")


async def test_calls_come_whole_and_streamed(claude: anthropic.AsyncAnthropic, served: Served) -> None:
    served.backend.events = CALLS
    whole = await claude.messages.create(model="scripted", max_tokens=9, messages=ASK, tools=TOOLS)
    async with claude.messages.stream(model="scripted", max_tokens=9, messages=ASK, tools=TOOLS) as stream:
        final = await stream.get_final_message()
    for message in (whole, final):
        assert message.stop_reason == "tool_use"
        assert message.content[0].text == "I look."
        calls = [(block.id, block.name, block.input) for block in message.content[1:]]
        assert calls == [("a1B2c3D4e", "clock", {"zone": "Rome"}), ("zzzzzzzz9", "clock", {})]


async def test_thoughts_are_told_to_those_who_ask(claude: anthropic.AsyncAnthropic, served: Served) -> None:
    served.backend.events = CALLS
    thinking = {"type": "enabled", "budget_tokens": 1024}
    whole = await claude.messages.create(model="scripted", max_tokens=9, messages=ASK, thinking=thinking)
    async with claude.messages.stream(model="scripted", max_tokens=9, messages=ASK, thinking=thinking) as stream:
        final = await stream.get_final_message()
    for message in (whole, final):
        assert [block.type for block in message.content] == ["thinking", "text", "tool_use", "tool_use"]
        assert message.content[0].thinking == "Hm."


async def test_arguments_that_were_cut_off_are_not_lost(claude: anthropic.AsyncAnthropic, served: Served) -> None:
    served.backend.events = (*CALLS[2:4], Finished("length", 5, 9))
    whole = await claude.messages.create(model="scripted", max_tokens=9, messages=ASK, tools=TOOLS)
    assert whole.stop_reason == "max_tokens"
    assert whole.content[0].input == {"INVALID_JSON": '{"zone": '}


async def test_a_conversation_with_results_arrives(claude: anthropic.AsyncAnthropic, served: Served) -> None:
    served.backend.events = CALLS
    first = await claude.messages.create(model="scripted", max_tokens=9, messages=ASK, tools=TOOLS)
    results = [
        {"type": "tool_result", "tool_use_id": "a1B2c3D4e", "content": "12:05"},
        {
            "type": "tool_result",
            "tool_use_id": "zzzzzzzz9",
            "content": [{"type": "text", "text": "no"}],
            "is_error": True,
        },
    ]
    messages = [*ASK, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    await claude.messages.create(model="scripted", max_tokens=9, messages=messages, tools=TOOLS, system="S")
    said = served.backend.requests[-1].conversation
    assert [(m.role, m.content) for m in said.messages] == [
        ("system", "S"),
        ("user", "Hello"),
        ("assistant", "I look."),
        ("tool", "12:05"),
        ("tool", "Error: no"),
    ]
    assert [(c.id, json.loads(c.arguments)) for c in said.messages[2].tool_calls] == [
        ("a1B2c3D4e", {"zone": "Rome"}),
        ("zzzzzzzz9", {}),
    ]
    assert [(tool.name, tool.parameters) for tool in said.tools] == [("clock", SCHEMA)]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, ToolChoice()),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required", None, False)),
        ({"type": "tool", "name": "clock"}, ToolChoice("required", "clock")),
        ({"type": "none"}, ToolChoice("none")),
    ],
)
async def test_every_field_arrives(
    claude: anthropic.AsyncAnthropic, served: Served, choice: dict, expected: ToolChoice
) -> None:
    await claude.messages.create(
        model="scripted",
        max_tokens=9,
        messages=ASK,
        tools=TOOLS,
        tool_choice=choice,
        stop_sequences=["x"],
        extra_body={
            "temperature": 0.5,
            "top_k": 3,
            "output_config": {"format": {"type": "json_schema", "schema": SCHEMA}},
        },
    )
    request = served.backend.requests[-1]
    assert request.tool_choice == expected
    asked = request.sampling
    assert (asked.max_tokens, asked.temperature, asked.top_k, asked.stop) == (9, 0.5, 3, ("x",))
    assert request.response_format == ResponseFormat("json_schema", SCHEMA)


async def test_a_stop_sequence_is_named_and_a_prefill_is_not_repeated(
    claude: anthropic.AsyncAnthropic, served: Served
) -> None:
    messages = [*ASK, {"role": "assistant", "content": "Well: "}]
    answer = await claude.messages.create(model="scripted", max_tokens=9, messages=messages, stop_sequences=["r, w"])
    assert (answer.content[0].text, answer.stop_reason, answer.stop_sequence) == ("Bonjou", "stop_sequence", "r, w")
    assert served.backend.requests[-1].prefix == "Well: "


async def test_tokens_are_counted_and_models_listed(claude: anthropic.AsyncAnthropic) -> None:
    count = await claude.messages.count_tokens(model="scripted", messages=ASK, system="Be brief.", tools=TOOLS)
    assert count.input_tokens == 5
    assert [(model.id, model.display_name) async for model in await claude.models.list()] == [("scripted", "scripted")]
    assert (await claude.models.retrieve("scripted")).created_at.year == 2023


@pytest.mark.parametrize("stream", [False, True])
async def test_every_error_is_read(claude: anthropic.AsyncAnthropic, served: Served, stream: bool) -> None:
    create = claude.messages.create
    with pytest.raises(anthropic.NotFoundError, match="Models on offer"):
        await create(model="none", max_tokens=9, messages=ASK, stream=stream)
    long = [{"role": "user", "content": "word " * 70}]
    with pytest.raises(anthropic.BadRequestError, match=r"71 tokens.* holds 64") as overflow:
        await create(model="scripted", max_tokens=9, messages=long, stream=stream)
    assert overflow.value.body["type"] == "error"
    assert overflow.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.AuthenticationError, match="bise admin keys"):
        await claude.with_options(api_key="wrong").messages.create(model="scripted", max_tokens=9, messages=ASK)
    served.backend.failure = UnavailableError("The engine died.")
    with pytest.raises(anthropic.InternalServerError, match="engine died"):
        await create(model="scripted", max_tokens=9, messages=ASK, stream=stream)


async def test_an_engine_that_dies_in_the_middle_is_told(claude: anthropic.AsyncAnthropic, served: Served) -> None:
    served.backend.failure, served.backend.fail_after = UnavailableError("The engine died."), 2
    with pytest.raises(anthropic.APIError, match="engine died"):  # noqa: PT012
        async with claude.messages.stream(model="scripted", max_tokens=9, messages=ASK) as stream:
            async for _ in stream:
                pass
