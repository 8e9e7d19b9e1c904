"""What programs that are no official client meet: bounds, statuses, disconnects."""

import asyncio
import json
from contextlib import suppress

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bise.server.guard import MAX_BODY_BYTES
from bise.server.wire.fields import UNSUPPORTED
from tests.scripted_backend import Gate, until
from tests.server.conftest import Served

PATH = "/v1/chat/completions"
BODY = {"model": "scripted", "messages": [{"role": "user", "content": "Hello"}]}
CALL = {"id": "aaaaaaaa1", "type": "function", "function": {"name": "clock", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}


async def refused(served: Served, body: object, status: int = 400) -> dict:
    response = await served.client.post(PATH, json=body)
    assert response.status_code == status, response.text
    error = response.json()
    assert error["object"] == "error"
    assert error["error"]["message"] == error["message"]
    assert isinstance(error["detail"], list)
    return error["error"]


async def test_a_request_belongs_to_the_user_of_its_key_whatever_it_says(direct: Served) -> None:
    for claim in ({}, {"user": "somebody else"}, {"tenant": "somebody else"}):
        await direct.client.post(PATH, json=BODY | claim)
    assert len({request.tenant for request in direct.backend.requests}) == 1
    assert direct.backend.requests[0].tenant not in ("", "somebody else")


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"messages": []}, "messages", "at least 1"),
        ({"messages": "hello"}, "messages", "valid array"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages.0.role", "'user'"),
        ({"messages": [{"role": "user"}]}, "messages.0", "needs content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages.0.content", "'text'"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "messages", "prefix"),
        ({"messages": [{"role": "system", "content": "x"}]}, "messages", "add one of the user"),
        ({"messages": [{"role": "user", "content": "x", "prefix": True}]}, "messages.0", "prefix"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}]}, "messages.0.tool_calls.0.id", "required"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": [CALL]}]}, "messages.0", "not of the user"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0", "needs tool_call_id"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name", "pattern"),
        ({"tools": [TOOL, TOOL]}, "tools", "same name"),
        ({"tool_choice": "sometimes"}, "tool_choice", "'required'"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_schema.schema"),
        ({"response_format": {"type": "yaml"}}, "response_format.type", "'json_object'"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "less than or equal to 20"),
        ({"top_logprobs": 2}, "", "needs logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "pattern"),
        ({"logit_bias": {"1": 101}}, "logit_bias", "less than or equal to 100"),
        ({"presence_penalty": 3}, "presence_penalty", "less than or equal to 2"),
        ({"min_p": 2}, "min_p", "less than or equal to 1"),
        ({"model": ""}, "model", "at least 1"),
        ({"temperature": -0.1}, "temperature", "greater than or equal to 0"),
        ({"temperature": 2.1}, "temperature", "less than or equal to 2"),
        ({"top_p": 0}, "top_p", "greater than 0"),
        ({"max_tokens": 0}, "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 10**30}, "max_tokens", "less than"),
        ({"seed": 2**63}, "seed", "less than"),
        ({"stop": [""]}, "stop", "at least 1"),
        ({"stop": ["x"] * 17}, "stop", "at most 16"),
        ({"n": 0}, "n", "greater than or equal to 1"),
        ({"n": 129}, "n", "less than or equal to 128"),
        ({"guardrails": [{}]}, "guardrails", "Leave it out, or send"),
        ({"audio": {}}, "audio", "Leave it out"),
        ({"best_of": 2}, "best_of", "best_of is not supported"),
    ],
)
async def test_what_is_wrong_is_named(direct: Served, change: dict, param: str, words: str) -> None:
    error = await refused(direct, BODY | change)
    assert error["param"].startswith(param)
    assert words in error["message"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"model": NaN}', '{"a":' * 10_000, '"\\ud800"'])
async def test_a_body_that_is_not_a_json_object_is_refused(direct: Served, text: str) -> None:
    response = await direct.client.post(PATH, content=text)
    assert response.status_code == 400
    assert response.json()["error"]["message"]


async def test_values_that_change_nothing_are_welcome(direct: Served) -> None:
    neutral = {name: values[0] for name, values in UNSUPPORTED.items() if values}
    response = await direct.client.post(PATH, json=BODY | neutral)
    assert response.status_code == 200, response.text
    assert (await direct.client.post(PATH, json=BODY | dict.fromkeys(UNSUPPORTED))).status_code == 200


async def test_ignored_fields_are_named_in_a_header(direct: Served) -> None:
    for stream in (False, True):
        body = BODY | {"stream": stream, "user": "me", "typo": 1, "bad\r\nset-cookie: x": 1}
        response = await direct.client.post(PATH, json=body)
        assert response.headers["x-bise-ignored-fields"] == "typo, user"
        assert "set-cookie" not in response.headers
    assert "x-bise-ignored-fields" not in (await direct.client.post(PATH, json=BODY)).headers


async def blanks(num_bytes: int, sent: list[int]):
    for _ in range(num_bytes >> 16):
        sent[0] += 1 << 16
        yield b" " * (1 << 16)


@pytest.mark.parametrize("has_length", [True, False])
async def test_an_oversized_body_is_refused_and_the_server_goes_on(served: Served, has_length: bool) -> None:
    size = MAX_BODY_BYTES + (1 << 20)
    response = await served.client.post(PATH, content=b" " * size if has_length else blanks(size, [0]))
    assert response.status_code == 413
    assert str(MAX_BODY_BYTES) in response.json()["error"]["message"]
    assert (await served.client.post(PATH, json=BODY)).status_code == 200


async def test_a_body_without_an_end_is_cut_off(served: Served) -> None:
    sent = [0]
    with suppress(httpx.TransportError):
        await served.client.post(PATH, content=blanks(1 << 30, sent))
    assert sent[0] < 100 << 20
    assert (await served.client.post(PATH, json=BODY)).status_code == 200


@pytest.mark.parametrize("headers", [{"x-api-key": "{}"}, {"api-key": "{}"}, {"authorization": "bearer {}"}])
async def test_the_key_is_read_from_every_usual_header(served: Served, headers: dict[str, str]) -> None:
    filled = {name: value.format(served.key) for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=served.root) as client:
        assert (await client.get("/v1/models", headers=filled)).status_code == 200
        assert (await client.get("/v1/models", headers={"cookie": f"bise_session={served.key}"})).status_code == 401


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("GET", "/v1/models/scripted"), ("POST", PATH), ("POST", PATH + "?x")]
)
async def test_without_a_key_nothing_is_read(direct: Served, method: str, path: str) -> None:
    del direct.client.headers["authorization"]
    response = await direct.client.request(method, path, content="{not json")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert direct.backend.requests == []


async def test_health_needs_no_key_and_tells_the_truth(served: Served) -> None:
    async with httpx.AsyncClient(base_url=served.root) as client:
        assert (await client.get("/health")).status_code == 200
        served.backend.ready = False
        assert (await client.get("/health")).status_code == 503


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models/none/such", "/docs", "/v1/models/"])
async def test_unknown_paths_and_methods_have_the_same_body(direct: Served, path: str) -> None:
    response = await direct.client.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["message"]
    assert (await direct.client.get(PATH)).status_code == 405


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after", [0, 2])
async def test_a_client_that_goes_away_frees_the_engine(served: Served, stream: bool, after: int) -> None:
    gate = served.backend.before_word = Gate()
    gate.open(after)
    request = asyncio.create_task(served.client.post(PATH, json=BODY | {"stream": stream}))
    await until(lambda: served.backend.num_running == 1)
    request.cancel()
    await asyncio.wait({request})
    await until(lambda: served.backend.num_running == 0)
    assert served.backend.num_cancelled == 1
    gate.open()
    assert (await served.client.post(PATH, json=BODY)).status_code == 200


async def test_stop_strings_end_the_answer_and_are_not_told(direct: Served) -> None:
    response = await direct.client.post(PATH, json=BODY | {"stop": ["r, w"], "stream": True})
    chunks = [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: {")]
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "Bonjou"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
FIELDS = [
    *("model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens"),
    *(
        "seed",
        "random_seed",
        "stop",
        "user",
        "n",
        "tools",
        "tool_choice",
        "response_format",
        "logprobs",
        "top_logprobs",
    ),
    *("top_k", "min_p", "min_tokens", "logit_bias", "presence_penalty", "repetition_penalty", "safe_prompt"),
    *("prompt_mode", "reasoning_effort", *UNSUPPORTED),
]
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | JSON},
    optional={"content": st.text(max_size=20) | JSON, "prefix": st.booleans() | JSON, "tool_calls": JSON},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    change=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5),
    messages=st.none() | st.lists(MESSAGE, max_size=4),
)
async def test_no_body_makes_the_server_fail(direct: Served, change: dict, messages: list | None) -> None:
    body = BODY | change | ({"messages": messages} if messages is not None else {})
    content = json.dumps(body).encode()
    response = await direct.client.post(PATH, content=content)
    assert response.status_code < 500, response.text
    assert response.status_code == 200 or response.json()["error"]["message"]
