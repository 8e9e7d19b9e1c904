"""The steps of a run meet: near copies across units, masked texts, and what is told of them."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bise.corpus.duplicates import BANDS
from bise.corpus.explain import explain, in_words
from bise.corpus.fingerprints import FINGERPRINTS_FILE, read_known, write_fingerprints
from bise.corpus.pipeline import curate
from bise.corpus.quality import QualitySettings, train_quality
from bise.corpus.readers import read_curated
from bise.corpus.recipe import CurateRecipe, Duplicates, EvaluationData, Language, Lists, Personal, Quality
from bise.corpus.repeats import fingerprint, paragraph_hashes, window_hashes
from bise.corpus.rules import Rules
from bise.corpus.seen import Run
from bise.corpus.texts import pack
from bise.errors import InputError
from tests.corpus.conftest import prose

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


def test_documents_that_hold_test_questions_are_dropped_and_the_passage_is_shown(
    write_lines: Maker, make_records: Maker, make_recipe: Maker
) -> None:
    records = make_records("a", 5)
    question = " ".join(records[3]["text"].split()[10:30])
    write_lines("a.jsonl", records)
    write_lines("tests.jsonl", [{"id": 1, "question": {"text": question.upper()}, "answer": "Yes."}])
    recipe = replace(make_recipe("a.jsonl"), contamination=EvaluationData(files=("tests*.jsonl",)))
    texts, run = curated(recipe)
    assert sorted(texts) == ["a/0", "a/1", "a/2", "a/4"]
    row = explain(run, "a/3").row
    assert (row["reason"], row["value"], row["threshold"]) == ("contamination", 20.0, 0.0)
    assert question in row["details"]["passages"][0]
    assert "tests.jsonl, line 1, question.text" in row["details"]["passages"][0]
    assert "tests.jsonl" in [entry.name for entry in run.manifest.inputs]
    texts, _ = curated(replace(recipe, name="lax", contamination=replace(recipe.contamination, max_words=20)))
    assert "a/3" in texts


def test_who_says_the_language(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    stated, unstated, wrong = make_records("a", 3)
    write_lines("a.jsonl", [stated, {**unstated, "lang": ""}, {**wrong, "lang": "fi"}])
    recipe = make_recipe("a.jsonl")

    def langs(identify: str) -> list[str]:
        told: Any = Language(identify=identify)  # type: ignore[arg-type]
        _, run = curated(replace(recipe, name=identify, language=told))
        return list(run.words("lang"))

    assert langs("never") == ["en", "", "fi"]
    assert langs("missing") == ["en", "en", "fi"]
    assert langs("always") == ["en", "en", "en"]
    assert langs("check") == ["en", "en", "fi"]
    row = explain(Run(recipe.root / "curate" / "check"), "a/2").row
    assert row["reason"] == "min_contradiction"
    assert row["value"] >= row["threshold"] == 0.9
    assert row["details"]["identified"] == "en"


def test_a_later_batch_does_not_repeat_an_earlier_run(
    edited: CurateRecipe, make_recipe: Maker, write_lines: Maker, make_records: Maker
) -> None:
    sources = edited.sources
    first = replace(edited, name="first", sources=replace(sources, list=sources.list[:1]))
    curated(first)
    second = replace(
        edited,
        name="second",
        sources=replace(sources, list=sources.list[1:]),
        duplicates=Duplicates(against=(edited.root / "curate" / "first",)),
    )
    texts, run = curated(second)
    assert sorted(texts) == [f"second/{i}" for i in range(8)]
    story = explain(run, "near/1")
    assert story.twin
    assert (story.row["reason"], story.twin["id"], story.twin["file"]) == ("near_duplicate", "first/1", "first.jsonl")
    assert run.manifest.inputs[0].name == "curate/first"
    whole, _ = curated(edited)
    assert sorted(whole) == sorted([*texts, *(f"first/{i}" for i in range(8))])


def test_runs_without_fingerprints_or_elsewhere_are_refused(edited: CurateRecipe, tmp_path: Path) -> None:
    bare = replace(edited, name="bare", output=replace(edited.output, fingerprints=False))
    curated(bare)
    against = replace(edited, name="b", duplicates=Duplicates(against=(edited.root / "curate" / "bare",)))
    with pytest.raises(InputError, match="keeps no fingerprints"):
        curate(against)
    path = edited.root / "curate" / "bare" / FINGERPRINTS_FILE
    write_fingerprints(
        pa.chunked_array([pa.array(["a"])]), np.zeros((1, 2), np.uint64), np.zeros((1, BANDS), np.uint64), path
    )
    assert len(read_known([path.parent], near=True)) == 1
    pq.write_table(pq.read_table(path).replace_schema_metadata({}), path)
    with pytest.raises(InputError, match="as this version of Bise makes them"):
        read_known([path.parent], near=True)
    with pytest.raises(InputError, match="not below"):
        curate(replace(against, root=tmp_path / "elsewhere"))


def test_listed_sites_and_words_drop_documents(
    write_lines: Maker, make_records: Maker, make_recipe: Maker, tmp_path: Path
) -> None:
    records = make_records("a", 4)
    records[0]["url"], records[1]["url"] = "https://shop.spam.example/x", "https://good.example/"
    records[2]["text"] += " Zounds, zounds and once more zounds!"
    write_lines("a.jsonl", records)
    (tmp_path / "raw" / "sites.txt").write_text("spam.example\n", encoding="utf-8")
    (tmp_path / "raw" / "words.txt").write_text("zounds\n", encoding="utf-8")
    lists = Lists(sites=("sites.txt",), words={"en": "words.txt"}, max_listed_words=0.01)
    texts, run = curated(replace(make_recipe("a.jsonl"), lists=lists))
    assert sorted(texts) == ["a/1", "a/3"]
    assert explain(run, "a/0").row["details"]["site"] == "spam.example"
    row = explain(run, "a/2").row
    assert row["reason"] == "max_listed_words"
    assert row["value"] == row["listed_words"] > row["threshold"] == 0.01
    assert {entry.name for entry in run.manifest.inputs} >= {"sites.txt", "words.txt"}


def test_a_classifier_drops_what_it_scores_low(
    write_lines: Maker, make_records: Maker, make_recipe: Maker, tmp_path: Path
) -> None:
    records = make_records("a", 60)
    shop = [
        {**record, "id": f"shop/{i}", "text": record["text"].replace("The", "Buy")} for i, record in enumerate(records)
    ]
    good, bad = ([record["text"] for record in some] for some in (records, shop))
    train_quality(good, bad, QualitySettings(hash_bits=12)).save(tmp_path / "raw" / "classifier")
    write_lines("a.jsonl", [*records[:3], *shop[3:6]])
    texts, run = curated(
        replace(make_recipe("a.jsonl"), quality=Quality("classifier"), duplicates=Duplicates(near=False))
    )
    assert sorted(texts) == ["a/0", "a/1", "a/2"]
    row = explain(run, "shop/4").row
    assert row["reason"] == "min_score"
    assert row["value"] == row["quality"] < row["threshold"] == 0.5


def test_characters_are_made_sound(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    (record,) = make_records("a", 1)
    write_lines("a.jsonl", [{**record, "text": "The cafÃ© and\u00a0the e\u0301clair. " + record["text"]}])
    recipe = make_recipe("a.jsonl")
    assert curated(recipe)[0]["a/0"].startswith("The café and the éclair. ")


@pytest.mark.slow
def test_parts_that_earlier_documents_have_are_cut(write_lines: Maker, make_records: Maker, make_recipe: Maker) -> None:
    records = make_records("a", 6)
    notice, story = prose("notice"), prose("story")
    records[1]["text"] += f"\n\n{notice}"
    records[4]["text"] += f"\n\n{notice}"
    records[2]["text"] += f" {story}"
    write_lines("a.jsonl", records[:4])
    write_lines("b.jsonl", [*records[4:], {"id": "mostly", "text": f"{notice}\n\n{story[:200]}", "lang": "en"}])
    recipe = make_recipe("a.jsonl", "b.jsonl")
    cutting = Duplicates(near=False, paragraphs=True, windows=True, max_cut=0.6)
    texts, run = curated(replace(recipe, duplicates=cutting))
    assert notice in texts["a/1"], "the first stays whole"
    assert prose("a 4").startswith(texts["a/4"].strip())
    row = explain(run, "a/4").row
    assert row["cut_bytes"] >= len(notice)
    assert row["bytes"] == len(texts["a/4"]) > 200
    assert "bytes that earlier documents have, too" in in_words(explain(run, "a/4"))
    mostly = explain(run, "mostly").row
    assert (mostly["reason"], mostly["threshold"]) == ("max_cut", 0.6)
    two = replace(recipe, name="two", workers=2, duplicates=cutting)
    assert curate(two).outputs == run.manifest.outputs


def test_documents_with_shared_paragraphs_and_others_with_shared_windows_are_cut_alike(
    write_lines: Maker, make_recipe: Maker
) -> None:
    """Only texts that share windows are hashed window by window; the marks must stay those of the right texts."""
    own = [" ".join(f"{first}{a}{b}" for a in "klmnopqr" for b in "stuvwxyzab") + "." for first in "abcdefg"]
    paragraph = "This one paragraph of more than ten words stands in two of the documents."
    window = " ".join(f"z{a}{b}" for a in "klmnop" for b in "stuvwxyzab") + "."
    texts = [
        f"{own[0]}\n\n{paragraph}",
        f"{paragraph}\n\n{own[1]}",
        own[2],
        f"{own[3]} {window}",
        f"{own[4]}\n\n{paragraph}",
        f"{own[5]} {window} {own[6]}",
    ]
    write_lines("a.jsonl", [{"id": str(k), "text": text} for k, text in enumerate(texts)])
    duplicates = Duplicates(paragraphs=True, windows=True)
    kept, run = curated(replace(make_recipe("a.jsonl"), rules=Rules(families=()), duplicates=duplicates))
    cut = [texts[0], own[1], own[2], texts[3], own[4], f"{own[5]} {own[6]}"]
    assert [kept[str(k)].strip() for k in range(6)] == cut
    assert [run.document(str(k))["cut_bytes"] > 0 for k in range(6)] == [False, True, False, False, True, True]


@pytest.mark.parametrize("width", [1, 2, 5, 50])
def test_texts_that_share_a_window_share_an_anchor(width: int) -> None:
    rng = random.Random(width)
    texts = [" ".join(rng.choice("abcdefgh") * rng.randint(1, 2) for _ in range(rng.randint(1, 90))) for _ in range(60)]
    texts += [f"{texts[k]} {texts[k + 1]}" for k in range(0, 40, 4)]
    data, offsets = pack(texts)
    windows, starts = window_hashes(data, offsets, width)
    found = fingerprint(data, offsets, near=False, paragraphs=True, windows=True, min_words=2, width=width)
    anchors, anchor_starts = found.passages["windows"]
    for a in range(len(texts)):
        shared = np.isin(windows[starts[a] : starts[a + 1]], np.delete(windows, np.s_[starts[a] : starts[a + 1]])).any()
        own = np.s_[anchor_starts[a] : anchor_starts[a + 1]]
        assert np.isin(anchors[own], np.delete(anchors, own)).any() or not shared
    for one, other in zip(found.passages["paragraphs"], paragraph_hashes(data, offsets, 2), strict=True):
        assert np.array_equal(one, other)
