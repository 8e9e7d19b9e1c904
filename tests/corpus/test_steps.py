"""The steps of a run meet: near copies across units, masked texts, and what is told of them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bise.corpus.explain import explain, in_words
from bise.corpus.pipeline import curate
from bise.corpus.readers import read_curated
from bise.corpus.recipe import CurateRecipe, Duplicates, Personal
from bise.corpus.seen import Run

Maker = Callable[..., Any]


def curated(recipe: CurateRecipe) -> tuple[dict[str, str], Run]:
    """The texts that are kept, by id, and the run."""
    curate(recipe)
    directory = recipe.root / "curate" / recipe.name
    return {document.id: document.text for document in read_curated(directory)}, Run(directory)


@pytest.fixture
def edited(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> CurateRecipe:
    """Two sources; the second repeats three documents of the first, two with an edit and one as it is."""
    first, second = make_records("first", 8), make_records("second", 8)
    near = [
        {**record, "id": f"near/{i}", "text": record["text"] + " So they say."} for i, record in enumerate(first[:2])
    ]
    write_lines("first.jsonl", first)
    write_lines("second.jsonl", [*near, *second, {**near[0], "id": "exact"}])
    recipe: CurateRecipe = make_recipe("first.jsonl", "second.jsonl")
    return recipe


def test_near_copies_name_the_first_as_the_kept_twin(edited: CurateRecipe) -> None:
    texts, run = curated(edited)
    assert sorted(texts) == sorted(f"{source}/{i}" for source in ("first", "second") for i in range(8))
    for name, twin in (("near/0", "first/0"), ("near/1", "first/1"), ("exact", "first/0")):
        story = explain(run, name)
        assert story.twin
        assert story.twin["id"] == twin
        assert 0.75 <= story.row["similarity"] < 1
        assert twin in in_words(story)
    assert set(explain(run, "exact").cluster) == {"first/0", "near/0", "exact"}
    assert run.manifest.facts["measured"]["near_duplicate_mb_per_million_documents"] > 0  # type: ignore[index]


def test_near_copies_stay_when_they_may(edited: CurateRecipe) -> None:
    texts, _ = curated(replace(edited, duplicates=Duplicates(near=False)))
    assert {"near/0", "near/1"} < set(texts)
    assert "exact" not in texts
    texts, _ = curated(replace(edited, name="all", duplicates=Duplicates(near=False, exact=False)))
    assert "exact" in texts


def test_personal_data_is_masked_in_texts_and_in_beginnings(
    write_lines: Maker, make_records: Maker, make_recipe: Maker, tmp_path: Path
) -> None:
    kept, dropped = make_records("a", 2)
    kept["text"] = f"Write to anna.bauer@example.org. {kept['text']}"
    write_lines("a.jsonl", [kept, {**dropped, "text": "Or to jean@example.org."}])
    texts, run = curated(replace(make_recipe("a.jsonl"), personal=Personal(mask=("email",))))
    assert texts["a/0"].startswith("Write to <EMAIL>. The bakery")
    assert explain(run, "a/0").row["details"] == {"masked": {"email": 1}}
    assert "masked    email 1" in in_words(explain(run, "a/0"))
    assert explain(run, "a/1").row["beginning"] == "Or to <EMAIL>."
    for path in (tmp_path / "runs").rglob("*"):
        assert path.is_dir() or b"bauer" not in path.read_bytes()
