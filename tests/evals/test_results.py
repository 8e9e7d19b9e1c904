import json
from dataclasses import replace
from pathlib import Path

import pytest

from bise.errors import InputError, NotFoundError
from bise.evals.results import (
    DataFile,
    EvaluatedModel,
    Item,
    Protocol,
    Results,
    TaskResult,
    Usage,
    item_id,
    read_items,
    read_results,
    write_items,
    write_results,
)

PROTOCOL = Protocol(
    "likelihood", "bise", "1", 0, "none", 7, limit=20, context=512, data=(DataFile("blimp/all.jsonl", "ab" * 32),)
)
TASK = TaskResult(
    "blimp", "blimp", "acc", 20, 0.65, True, True, PROTOCOL, "en", 0.11, 0.5, 0.31, True, "2026-11-26", Usage(1.5, 3)
)
RESULTS = Results(EvaluatedModel("tiny", "local", "cd" * 32, bits=4), (TASK, replace(TASK, task="other", chance=None)))
ITEMS = [
    Item(item_id("Ein Satz.", "Ein Satzes."), 1.0, 1.0, 20, "de", "agreement", "0", "0"),
    Item("b", 812.25, 301.0),
]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_results(tmp_path, RESULTS)
    write_items(tmp_path, "blimp", ITEMS)
    assert read_results(tmp_path) == RESULTS
    assert read_items(tmp_path, "blimp") == ITEMS
    assert read_results(tmp_path).task("other") == RESULTS.tasks[1]


def test_items_are_named_by_what_they_ask() -> None:
    assert item_id("a", "b") == item_id("a", "b")
    assert len({item_id("a", "b"), item_id("ab"), item_id("b", "a"), item_id("ab", "")}) == 4


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=str(tmp_path)):
        read_results(tmp_path)
    with pytest.raises(NotFoundError, match=r"blimp\.jsonl"):
        read_items(tmp_path, "blimp")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": 9}, "format 9"),
        ({"colour": "red"}, "unknown key colour"),
        ({"tasks": [{"suite": "blimp"}]}, "missing key"),
        ({"tasks": 3}, "a list"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, change: dict[str, object], told: str) -> None:
    write_results(tmp_path, RESULTS)
    path = tmp_path / "results.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=told):
        read_results(tmp_path)


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a"}', '{"id": "a", "value": "1"}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    write_items(tmp_path, "blimp", ITEMS)
    with (tmp_path / "items/blimp.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=r"blimp\.jsonl, line 3"):
        read_items(tmp_path, "blimp")
