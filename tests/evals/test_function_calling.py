import json
from typing import Any

import pytest

from bise.evals.function_calling import are_right, calls_of, tool

AREA = {"geometry.area": {"base": [10], "height": [5, 5.0], "unit": ["cm", ""]}}


def message(*calls: tuple[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"function": {"name": name, "arguments": json.dumps(a)}} for name, a in calls]}


@pytest.mark.parametrize(
    ("calls", "is_right"),
    [
        ([("geometry_area", {"base": 10, "height": 5})], True),
        ([("geometry_area", {"base": 10.0, "height": 5.0, "unit": "CM."})], True),
        ([("geometry_area", {"base": 10, "height": 5, "unit": "m"})], False),
        ([("geometry_area", {"base": 10})], False),
        ([("geometry_area", {"base": 10, "height": 5, "depth": 1})], False),
        ([("geometry_area", {"base": "10", "height": 5})], False),
        ([("geometry_area", {"base": True, "height": 5})], False),
        ([("area", {"base": 10, "height": 5})], False),
        ([("geometry_area", {"base": 10, "height": 5})] * 2, False),
        ([("geometry_area", [10, 5])], False),
        ([], False),
    ],
)
def test_one_call_is_right_or_wrong(calls: list[tuple[str, Any]], is_right: bool) -> None:
    assert are_right(calls_of(message(*calls)), [AREA]) is is_right


def test_parallel_calls_come_in_any_order_and_each_once() -> None:
    wanted = [{"play": {"artist": [name], "tags": [["new", "pop"], ""]}} for name in ("Ada", "Bob")]
    ada, bob = ("play", {"artist": "ada", "tags": ["New", "pop"]}), ("play", {"artist": "Bob"})
    assert are_right(calls_of(message(ada, bob)), wanted)
    assert are_right(calls_of(message(bob, ada)), wanted)
    assert not are_right(calls_of(message(bob, bob)), wanted)
    assert not are_right(calls_of(message(bob)), wanted)


def test_where_nothing_fits_no_call_is_right() -> None:
    assert are_right(calls_of({"content": "I cannot."}), [])
    assert not are_right(calls_of(message(("area", {}))), [])


def test_arguments_that_are_no_json_are_wrong_not_a_fault() -> None:
    broken = {"tool_calls": [{"function": {"name": "geometry_area", "arguments": "{base: 10"}}]}
    assert not are_right(calls_of(broken), [AREA])


def test_functions_become_tools_with_json_schemas() -> None:
    inner = {"type": "dict", "properties": {"at": {"type": "tuple", "items": {"type": "float"}}}}
    parameters = {
        "type": "dict",
        "properties": {"place": inner, "any": {"type": "any", "optional": True}},
        "required": ["place"],
    }
    found = tool({"name": "a.b", "description": "d", "parameters": parameters})["function"]
    assert found["name"] == "a_b"
    assert found["parameters"] == {
        "type": "object",
        "required": ["place"],
        "properties": {
            "place": {"type": "object", "properties": {"at": {"type": "array", "items": {"type": "number"}}}},
            "any": {},
        },
    }
