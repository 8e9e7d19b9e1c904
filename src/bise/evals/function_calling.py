"""Function calling: the single-turn parts of the Berkeley Function-Calling Leaderboard, by the chat API's own tools.

An answer is right when it makes the expected calls and no other, in any order: the function's name, a value that is allowed for
each argument that must be there, no argument that the function lacks. Texts are compared as the leaderboard does, without
case, spaces and some punctuation. Where no function fits, none may be called. Names keep letters, digits, - and _, as
OpenAI's API wants.
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.evals.api import Api, Progress
from bise.evals.data import Questions, find_files, read_records, sample
from bise.evals.results import Item, item_id
from bise.evals.shapes import anything, is_wrong, list_of, map_of, object_with, one_of, some_text, text
from bise.evals.tasks import EvalSettings, Suite, Task

_PARTS = ("simple_python", "multiple", "parallel", "parallel_multiple", "irrelevance")
_MAX_TOKENS = 512
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "bool": "boolean", "int": "integer"}
_KEPT = ("description", "enum", "required")  # of a schema, as they are
_PASSED_OVER = re.compile(r"[ ,./\-_*^'\"]")

Call = tuple[str, Mapping[str, Any]]


def _is_schema(value: object) -> str:
    return object_with({}, _OF_A_SCHEMA)(value)


def _is_call(value: object) -> str:
    """One function's name with the values that each argument may have."""
    if isinstance(value, Mapping) and len(value) != 1:
        return is_wrong(value, "an object of one function")
    return map_of(map_of(list_of(anything)))(value)


_OF_A_SCHEMA = {
    "type": some_text,
    "description": text,
    "enum": list_of(anything),
    "required": list_of(some_text),
    "properties": map_of(_is_schema),
    "items": _is_schema,
}
_MESSAGE = object_with({"role": one_of("system", "user", "assistant"), "content": text})
_FUNCTION = object_with({"name": some_text, "parameters": _is_schema}, {"description": text})
_FIELDS = {
    "id": some_text,
    "question": list_of(list_of(_MESSAGE, least=1), least=1),
    "function": list_of(_FUNCTION, least=1),
}
_ANSWER_FIELDS = {"id": some_text, "ground_truth": list_of(_is_call)}


def _tasks(settings: EvalSettings) -> list[Task]:
    root = settings.data.root
    tasks = []
    for part in _PARTS:
        files = find_files(root, Questions(f"bfcl/{part}", _FIELDS))
        answers = () if part == "irrelevance" else find_files(root, Questions(f"bfcl/answer_{part}", _ANSWER_FIELDS))
        tasks.append(
            Task(
                "bfcl",
                f"bfcl-{part.replace('_', '-')}",
                "acc",
                (*files, *answers),
                partial(_measure, files, answers),
                "generation",
                "en",
                template="chat",
                max_tokens=settings.max_tokens or _MAX_TOKENS,
            )
        )
    return tasks


def _measure(
    files: Sequence[Path], answers: Sequence[Path], api: Api, settings: EvalSettings, progress: Progress
) -> list[Item]:
    records = sample(read_records(files, _FIELDS), settings.limit, settings.seed)
    expected = {record["id"]: record["ground_truth"] for record in read_records(answers, _ANSWER_FIELDS)}
    unanswered = [record["id"] for record in records if answers and record["id"] not in expected]
    if unanswered:
        raise InputError(
            f"{answers[0]} has no answer with the id {', '.join(unanswered[:3])}, of {len(unanswered):,} question"
            f"{'s' if len(unanswered) > 1 else ''} in {files[0]}. Both files must come from the same release."
        )
    size = api.target.most_tokens(settings.max_tokens or _MAX_TOKENS)
    bodies = [
        {"messages": record["question"][0], "tools": [*map(tool, record["function"])], "max_tokens": size}
        for record in records
    ]
    items = []
    for record, answer in zip(records, api.chat(bodies, progress), strict=True):
        wanted = expected.get(record["id"], [])
        calls = calls_of(answer)
        asked = json.dumps([record["question"], record["function"]], sort_keys=True, ensure_ascii=False)
        items.append(
            Item(
                item_id(asked),
                float("refused" not in answer and are_right(calls, wanted)),
                1.0,
                len(asked.encode()),
                "en",
                "",
                json.dumps(calls, ensure_ascii=False) if calls else str(answer.get("content") or ""),
                json.dumps(wanted, ensure_ascii=False) if wanted else "no call",
                cut="refused" in answer,
            )
        )
    return items


def tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function of the leaderboard as the chat API takes it."""
    described = {"name": _name(function["name"]), "description": function.get("description", "")}
    return {"type": "function", "function": described | {"parameters": _schema(function["parameters"])}}


def _name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", name)[:64]


def _schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON schema, from types as Python calls them."""
    kind = str(schema.get("type", "any")).lower()
    found: dict[str, Any] = {key: schema[key] for key in _KEPT if key in schema}
    if kind != "any":
        found["type"] = _TYPES.get(kind, kind)
    if "properties" in schema:
        found["properties"] = {name: _schema(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        found["items"] = _schema(schema["items"])
    return found


def calls_of(message: Mapping[str, Any]) -> list[Call]:
    """The calls of an answer; arguments that are no JSON object are empty, so that they fit nothing that needs some."""
    found: list[Call] = []
    for call in message.get("tool_calls") or ():
        try:
            arguments = json.loads(call["function"]["arguments"] or "{}")
        except (ValueError, RecursionError):
            arguments = None
        found.append((str(call["function"]["name"]), arguments if isinstance(arguments, dict) else {"": None}))
    return found


def are_right(calls: Sequence[Call], wanted: Sequence[Mapping[str, Mapping[str, list[Any]]]]) -> bool:
    """Whether each wanted call was made once and nothing else."""
    if len(calls) != len(wanted):
        return False
    left = list(calls)
    for each in wanted:
        ((name, allowed),) = each.items()
        match = next((call for call in left if call[0] == _name(name) and _fits(call[1], allowed)), None)
        if match is None:
            return False
        left.remove(match)
    return True


def _fits(arguments: Mapping[str, Any], allowed: Mapping[str, list[Any]]) -> bool:
    """An argument may be missing where "" is allowed."""
    if set(arguments) - set(allowed):
        return False
    return all(
        any(_equal(arguments[name], value) for value in values) if name in arguments else "" in values
        for name, values in allowed.items()
    )


def _equal(said: Any, allowed: Any) -> bool:
    if isinstance(said, bool) or isinstance(allowed, bool):
        return said is allowed
    if isinstance(said, str) and isinstance(allowed, str):
        return _PASSED_OVER.sub("", said).lower() == _PASSED_OVER.sub("", allowed).lower()
    if isinstance(said, list) and isinstance(allowed, list):
        return len(said) == len(allowed) and all(map(_equal, said, allowed))
    if isinstance(said, Mapping) and isinstance(allowed, Mapping):
        lists = {name: values if isinstance(values, list) else [values] for name, values in allowed.items()}
        return _fits(said, lists)
    return bool(said == allowed)


SUITE = Suite("bfcl", "calls of functions, one turn (English)", _tasks)
