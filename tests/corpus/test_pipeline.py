"""A run keeps or explains every document it reads, and the same recipe writes the same bytes."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pyarrow.parquet as pq
import pytest

from bise.corpus.pipeline import curate
from bise.corpus.progress import Standing
from bise.corpus.readers import read_curated
from bise.corpus.recipe import CurateRecipe, SourceFile
from bise.errors import InputError, NotFoundError
from bise.runs import Manifest, read_manifest, sha256_file

Maker = Callable[..., Any]


def dropped_rows(recipe: CurateRecipe) -> list[dict[str, Any]]:
    rows = pq.read_table(recipe.root / "curate" / recipe.name / "statistics").to_pylist()
    return [row for row in rows if row["reason"]]


def kept_ids(recipe: CurateRecipe) -> list[str]:
    return [document.id for document in read_curated(recipe.root / "curate" / recipe.name)]


@pytest.fixture
def mixed(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> CurateRecipe:
    """Two sources with good documents, short ones, a wrong language and copies across sources."""
    first, second = make_records("first", 20), make_records("second", 20)
    short = [{"id": f"short/{i}", "text": "Hi.", "lang": "en"} for i in range(3)]
    foreign = make_records("foreign", 2, lang="pl")
    copies = [{**record, "id": f"copy/{record['id']}"} for record in first[:4]]
    write_lines("first.jsonl", first + short)
    write_lines("second.jsonl", foreign + copies + second + [b"{"])
    recipe: CurateRecipe = make_recipe("first.jsonl", "second.jsonl", languages=("en",))
    return recipe


def test_kept_and_dropped_are_what_was_read(mixed: CurateRecipe) -> None:
    facts: Any = curate(mixed).facts
    rows = dropped_rows(mixed)
    assert facts["read"] == facts["kept"] + sum(facts["dropped"].values()) == 49
    assert (
        facts["dropped"]
        == Counter(row["reason"] for row in rows)
        == {"exact_duplicate": 4, "languages": 2, "min_words": 3}
    )
    assert facts["bad_lines"] == 1
    assert "second.jsonl, line 27: not JSON" in facts["bad_line_examples"][0]
    assert not set(kept_ids(mixed)) & {row["id"] for row in rows}
    assert len(kept_ids(mixed)) == facts["kept"] == 40


def test_every_drop_says_why(mixed: CurateRecipe) -> None:
    curate(mixed)
    for row in dropped_rows(mixed):
        assert row["reason"]
        assert row["source"] in ("first", "second")
        assert (row["value"] == row["threshold"]) == bool(row["twin"])
        assert bool(row["twin"]) == (row["reason"] == "exact_duplicate")
    twins = {row["id"]: row["twin"] for row in dropped_rows(mixed) if row["twin"]}
    assert twins == {f"copy/first/{i}": f"first/{i}" for i in range(4)}


def test_facts_name_each_source_with_its_licence_and_share(mixed: CurateRecipe) -> None:
    facts: Any = curate(mixed).facts
    documents = list(read_curated(mixed.root / "curate" / mixed.name))
    for name, entry in facts["sources"].items():
        texts = [document.text.encode() for document in documents if document.source == name]
        assert entry["documents"] == len(texts)
        assert entry["bytes"] == sum(map(len, texts))
        assert entry["licence"] == "CC0 1.0"
    assert facts["languages"] == {"en": {"documents": 40, "bytes": facts["kept_bytes"]}}


def test_the_same_recipe_writes_the_same_bytes(mixed: CurateRecipe) -> None:
    first = curate(mixed)
    second = curate(replace(mixed, name="again"))
    assert first.outputs == second.outputs
    assert told(first) == told(second)
    assert len(first.outputs) == 5


def told(manifest: Manifest) -> dict[str, object]:
    """The facts that hang on the texts alone."""
    return {name: value for name, value in manifest.facts.items() if name != "measured"}


def test_documents_survive_writing_and_reading(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    records = [{**record, "title": "Übung ☺", "empty": "", "year": 7} for record in make_records("a", 3)]
    write_lines("a.jsonl", records)
    recipe = make_recipe("a.jsonl")
    curate(recipe)
    documents = list(read_curated(recipe.root / "curate" / recipe.name))
    assert [(d.id, d.text, d.lang, d.source) for d in documents] == [
        (record["id"], record["text"], "en", "a") for record in records
    ]
    assert all(d.metadata == {"title": "Übung ☺"} and d.licence == "CC0 1.0" for d in documents)


def test_a_cap_takes_a_share_drawn_by_the_seed(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    write_lines("a.jsonl", make_records("a", 50))
    recipes = [replace(make_recipe("a.jsonl", max_bytes=4000), name=f"seed{seed}", seed=seed) for seed in (1, 2)]
    kept = []
    for recipe in recipes:
        facts: Any = curate(recipe).facts
        assert 3000 < facts["kept_bytes"] <= 4000
        assert facts["read"] == 50
        assert all(row["value"] > row["threshold"] == 4000 for row in dropped_rows(recipe))
        kept.append(kept_ids(recipe))
    assert kept[0] != kept[1]


def test_leftovers_of_a_killed_run_do_not_matter(mixed: CurateRecipe) -> None:
    expected = curate(mixed).outputs
    again = replace(mixed, name="broken")
    (again.root / "curate" / "broken" / "documents").mkdir(parents=True)
    (again.root / "curate" / "broken" / "documents" / "007-old.parquet").write_bytes(b"half")
    (again.root / "unfinished" / "curate" / "broken" / "0123.77.part").mkdir(parents=True)
    assert curate(again).outputs == expected
    assert not list((again.root / "unfinished").rglob("*"))


def test_a_failed_run_is_not_finished_and_can_be_run_again(write_lines: Maker, mixed: CurateRecipe) -> None:
    write_lines("second.jsonl", [b"{"])
    with pytest.raises(InputError):
        curate(mixed)
    with pytest.raises(NotFoundError, match="did not finish"):
        read_manifest(mixed.root / "curate" / mixed.name)


def test_a_finished_run_is_not_overwritten(mixed: CurateRecipe) -> None:
    curate(mixed)
    with pytest.raises(InputError, match="already holds a finished run"):
        curate(mixed)


@pytest.mark.parametrize("lines", [[], [b""], [b"{", b"["]])
def test_a_source_without_documents_fails_the_run(write_lines: Maker, make_recipe: Maker, lines: list[bytes]) -> None:
    write_lines("a.jsonl", lines)
    recipe = make_recipe("a.jsonl")
    recipe = replace(recipe, sources=replace(recipe.sources, max_bad_lines=1.0))
    with pytest.raises(InputError, match="source a holds no documents"):
        curate(recipe)


def test_too_many_malformed_lines_fail_the_run(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    write_lines("a.jsonl", [b"{", b"[", b"nul", *make_records("a", 2)])
    with pytest.raises(InputError, match=r"source a has 3 malformed records of 5 \(a.jsonl, line 1: not JSON"):
        curate(make_recipe("a.jsonl"))


def test_a_run_that_keeps_nothing_fails(write_lines: Maker, make_recipe: Maker) -> None:
    write_lines("a.jsonl", [{"text": "Hi."}])
    with pytest.raises(InputError, match=r"No document was kept.*min_words.*1"):
        curate(make_recipe("a.jsonl"))


def test_a_wrong_hash_shows_both_before_any_work(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    path = write_lines("a.jsonl", make_records("a", 2))
    recipe = make_recipe("a.jsonl")

    def with_hash(sha256: str) -> CurateRecipe:
        source = replace(recipe.sources.list[0], files=(SourceFile("a.jsonl", sha256),))
        return replace(recipe, sources=replace(recipe.sources, list=(source,)))

    with pytest.raises(InputError) as error:
        curate(with_hash("0" * 64))
    assert sha256_file(path) in str(error.value)
    assert "0" * 64 in str(error.value)
    assert not recipe.root.exists()
    assert curate(with_hash(sha256_file(path))).inputs[0].sha256 == sha256_file(path)


def test_progress_ends_at_the_whole(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    write_lines("a.jsonl", make_records("a", 200))
    write_lines("b.jsonl", make_records("b", 200))
    steps: list[Standing] = []
    curate(make_recipe("a.jsonl", "b.jsonl", max_bytes=10_000), steps.append)
    assert steps[-1].done == steps[-1].total


def test_the_manifest_can_be_read_back(mixed: CurateRecipe) -> None:
    curate(mixed)
    manifest: Any = read_manifest(mixed.root / "curate" / mixed.name)
    assert manifest.config["rules"]["languages"] == ["en"]
    assert [entry.name for entry in manifest.inputs] == ["first.jsonl", "second.jsonl"]
    assert json.dumps(manifest.config)
    assert str(mixed.root.parent) not in json.dumps(asdict(manifest), default=str)
