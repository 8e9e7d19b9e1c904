"""What one side writes the other reads, and nothing else is taken for a message."""

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bise.engine.core import EngineConfig, EngineStats
from bise.engine.protocol import (
    VERSION,
    Add,
    Cancel,
    DropAdapter,
    Failed,
    Hello,
    Outputs,
    Progress,
    ProtocolError,
    Ready,
    Refused,
    Start,
    Stats,
    check_version,
    encode,
    error_kind,
    error_of,
    read_to_engine,
    read_to_server,
)
from bise.engine.requests import AdapterRef, Grammar, Request, StepOutput
from bise.engine.sampling import SamplingParams, TokenLogprob
from bise.errors import InputError, NotFoundError, UnavailableError

IDS = st.lists(st.integers(0, 2**31)).map(tuple)
KINDS = st.sampled_from(["InputError", "NotFoundError", "UnavailableError"])
FLOATS = st.floats(allow_nan=False)
PARAMS = st.builds(
    SamplingParams,
    temperature=st.floats(0, 5) | st.integers(0, 5),
    top_p=st.floats(0.1, 1),
    max_tokens=st.none() | st.integers(5, 100),
    seed=st.none() | st.integers(-(2**63), 2**64 - 1),
    stop_ids=IDS,
    top_k=st.integers(0, 100),
    logit_bias=st.dictionaries(st.integers(0, 1000), st.just(-math.inf) | st.floats(-100, 100)).map(
        lambda biases: tuple(biases.items())
    ),
    min_tokens=st.integers(0, 5),
    ignore_eos=st.booleans(),
    logprobs=st.none() | st.integers(0, 20),
)
LOGPROBS = st.builds(TokenLogprob, st.integers(), FLOATS, st.lists(st.tuples(st.integers(), FLOATS)).map(tuple))
OUTPUTS = st.builds(
    StepOutput,
    st.text(),
    IDS,
    st.sampled_from([None, "stop", "length", "failed"]),
    st.integers(0, 9),
    st.lists(LOGPROBS, max_size=2).map(tuple),
    st.none() | st.lists(st.none() | LOGPROBS, max_size=3).map(tuple),
    st.integers(),
    st.none() | st.lists(FLOATS, max_size=3).map(tuple),
)
TO_ENGINE = st.one_of(
    st.builds(Start, st.integers(), st.integers(), st.text(), st.builds(EngineConfig)),
    st.builds(
        Add,
        st.builds(
            Request,
            st.text(),
            IDS,
            PARAMS,
            st.text(),
            st.sampled_from(["interactive", "batch"]),
            st.none() | st.builds(AdapterRef, st.text(), st.text()),
            st.none()
            | st.builds(
                Grammar, st.sampled_from(["json_schema", "regex", "lark"]), st.text(), st.none() | st.integers()
            ),
            st.booleans(),
        ),
    ),
    st.builds(DropAdapter, st.text()),
    st.builds(Cancel, st.text(), st.none() | st.integers()),
)
TO_SERVER = st.one_of(
    st.builds(Hello, st.integers()),
    st.builds(Progress, st.text(), st.integers(), st.integers()),
    st.builds(Ready, st.integers(), st.text(), st.none() | st.text()),
    st.builds(Failed, KINDS, st.text()),
    st.builds(Outputs, st.lists(OUTPUTS).map(tuple)),
    st.builds(Refused, st.text(), KINDS, st.text()),
    st.builds(
        Stats,
        st.builds(EngineStats, *[st.integers()] * len(dataclasses.fields(EngineStats))),
        st.lists(st.text()).map(tuple),
    ),
)


@given(TO_ENGINE)
def test_the_engine_reads_what_the_server_writes(message: Any) -> None:
    line = encode(message)
    assert line.index(b"\n") == len(line) - 1
    assert read_to_engine(line) == message


@given(TO_SERVER)
def test_the_server_reads_what_the_engine_writes(message: Any) -> None:
    line = encode(message)
    assert line.index(b"\n") == len(line) - 1
    assert read_to_server(line) == message


@given(TO_ENGINE, st.data())
def test_a_missing_or_foreign_field_is_seen(message: Any, data: st.DataObject) -> None:
    name, fields = json.loads(encode(message))
    field = data.draw(st.sampled_from(sorted(fields)))
    missing = {key: value for key, value in fields.items() if key != field}
    for wrong in (missing, {**fields, "tomorrow": 1}, {**fields, field: {"no": "such"}}):
        with pytest.raises(ProtocolError, match="not a message"):
            read_to_engine(json.dumps([name, wrong]).encode())


@given(
    st.binary() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_noise_is_refused_in_a_sentence(line: bytes) -> None:
    with pytest.raises(ProtocolError, match="do not understand each other"):
        read_to_server(line)


def test_a_value_of_another_type_is_refused() -> None:
    params = {field.name: getattr(SamplingParams(), field.name) for field in dataclasses.fields(SamplingParams)}
    right = {
        "request_id": "1",
        "prompt_ids": [1],
        "params": params,
        "tenant": "",
        "priority": "batch",
        "adapter": None,
        "grammar": None,
        "embeds": False,
    }
    read_to_engine(json.dumps(["Add", {"request": right}]).encode())
    for name, value in [
        ("prompt_ids", [1, "2"]),
        ("prompt_ids", [True]),
        ("priority", "soon"),
        ("adapter", "x"),
        ("grammar", "x"),
        ("request_id", 1),
    ]:
        with pytest.raises(ProtocolError, match="TypeError"):
            read_to_engine(json.dumps(["Add", {"request": {**right, name: value}}]).encode())
    for name, value in [("temperature", "hot"), ("seed", 1.5), ("top_p", 7.0), ("logit_bias", [[1, 2, 3]])]:
        with pytest.raises(ProtocolError, match="not a message"):
            read_to_engine(json.dumps(["Add", {"request": {**right, "params": {**params, name: value}}}]).encode())


def test_only_the_other_sides_messages_are_read() -> None:
    with pytest.raises(ProtocolError):
        read_to_engine(encode(Hello(1)))
    with pytest.raises(ProtocolError):
        read_to_server(encode(Cancel("1")))


def test_versions_must_be_equal() -> None:
    check_version(VERSION)
    with pytest.raises(ProtocolError, match=f"version {VERSION} .* version 99.* start the server again"):
        check_version(99)


def test_errors_keep_their_kind() -> None:
    for error in (InputError("a"), NotFoundError("b"), UnavailableError("c"), ProtocolError("d")):
        sent = error_of(Failed(error_kind(error), str(error)))
        assert str(sent) == str(error)
        assert isinstance(error, type(sent))
