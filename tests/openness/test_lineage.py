"""From a model one walks back to its corpus, and a parent that changed meanwhile is noticed."""

from pathlib import Path

import pytest

from bise.config import load_recipe
from bise.corpus.recipe import CurateRecipe
from bise.errors import InputError, NotFoundError
from bise.openness.lineage import RECORD_FILE, ancestors, find_owner, lineage_of
from bise.openness.steps import steps_of, write_recipes
from bise.openness.verify import verify
from bise.runs import MANIFEST, RunDirectory, run_input
from tests.openness.tiny_chain import make_chain, store_model


def make(root: Path, stage: str, parents: list[str]) -> Path:
    run = RunDirectory(root, stage, "a")
    run.finish({}, [run_input(root / parent) for parent in parents], {})
    return run.path


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    make(tmp_path, "curate", [])
    make(tmp_path, "tokenizer", ["curate/a"])
    make(tmp_path, "train", ["curate/a", "tokenizer/a"])
    return make(tmp_path, "tune", ["train/a"])


def test_every_ancestor_is_found_once_nearest_first(tuned: Path) -> None:
    assert [a.manifest.stage for a in ancestors(tuned)] == ["tune", "train", "curate", "tokenizer"]


def test_a_changed_parent_is_noticed(tuned: Path) -> None:
    manifest = tuned.parents[1] / "curate" / "a" / MANIFEST
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"facts": {}', '"facts": {"kept": 9}'))
    with pytest.raises(InputError, match="was changed or made again"):
        ancestors(tuned)


def test_a_missing_parent_is_named(tuned: Path) -> None:
    (tuned.parents[1] / "tokenizer" / "a" / MANIFEST).unlink()
    with pytest.raises(NotFoundError, match="tokenizer"):
        ancestors(tuned)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))
    return store_model(make_chain(tmp_path / "runs"), "tiny")


NAMES = ["model/tiny", "tune/tiny", "train/tiny", "curate/tiny", "tokenizer/tiny"]


def test_a_stored_model_tells_its_story_with_and_without_its_runs(stored: Path, tmp_path: Path) -> None:
    with_runs = lineage_of(stored, tmp_path / "runs")
    alone = lineage_of(stored, tmp_path / "nowhere")
    assert [link.name for link in with_runs.links] == [link.name for link in alone.links] == NAMES
    assert [link.sha256 for link in with_runs.links] == [link.sha256 for link in alone.links]
    assert [step.here for step in steps_of(with_runs)] == [True] * 5
    assert [step.here for step in steps_of(alone)] == [True] + [False] * 4
    assert not alone.missing
    assert find_owner("tiny") == stored


def test_a_step_says_what_its_record_says(stored: Path, tmp_path: Path) -> None:
    model, tune, train, curate, _ = steps_of(lineage_of(stored, tmp_path / "nowhere"))
    assert (model.energy_kwh, model.sources, model.command) == (
        None,
        (),
        "bise pull runs/tune/tiny --name tiny --bits 8",
    )
    assert (tune.licence, tune.cost, tune.energy_kwh, tune.seconds) == ("Apache-2.0", "0.04 EUR", 0.125, 3600.0)
    assert tune.source_sha256 == "c" * 64
    assert [(s.name, s.licence, s.number, s.kind) for s in tune.sources] == [("talk", "MIT", 40, "conversations")]
    assert tune.command == "bise tune recipes/tune-tiny.toml --set sources.root=DIR"
    assert train.shards is not None
    assert (train.shards.path, train.shards.num_tokens) == ("shards/0123/train/tokens.bin", 2)
    assert train.command == "bise train recipes/train-tiny.toml"
    assert curate.command == "bise curate recipes/curate-tiny.toml --set sources.root=DIR"
    assert curate.sources[0].origin == "https://example.org/tales at 0123456789ab"


def test_a_model_without_records_names_what_is_missing(stored: Path, tmp_path: Path) -> None:
    (stored / RECORD_FILE).unlink()
    lineage = lineage_of(stored, tmp_path / "nowhere")
    assert [parent.name for parent in lineage.missing] == ["tune/tiny"]


def test_records_of_another_model_are_no_ancestors(stored: Path, tmp_path: Path) -> None:
    record = stored / RECORD_FILE
    record.write_text(record.read_text(encoding="utf-8").replace("A tiny model.", "A fine model."), encoding="utf-8")
    assert [parent.name for parent in lineage_of(stored, tmp_path / "nowhere").missing] == ["tune/tiny"]
    record.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        lineage_of(stored, tmp_path / "nowhere")


def test_the_first_file_that_differs_is_named(stored: Path, tmp_path: Path) -> None:
    lineage = lineage_of(stored, tmp_path / "runs")
    assert {check.status for check in verify(lineage, tmp_path / "runs/raw")} == {"same"}
    documents = tmp_path / "runs/curate/tiny/documents/00000-tales.parquet"
    documents.write_bytes(b"PAR1 something else")
    (tmp_path / "runs/tune/tiny/model/tekken.json").unlink()
    (tmp_path / "runs/raw/tales.jsonl").write_text("{}", encoding="utf-8")
    (tmp_path / "runs/shards/0123/train/tokens.bin").write_bytes(b"other tokens")
    checks = {check.name: check.status for check in verify(lineage, tmp_path / "runs/raw")}
    assert [name for name, status in checks.items() if status == "differs"] == [
        "train/tiny read shards/0123/train/tokens.bin",
        "curate/tiny/documents/00000-tales.parquet",
    ]
    assert [name for name, status in checks.items() if status == "absent"] == [
        "tune/tiny/model/tekken.json",
        "curate/tiny read tales.jsonl",
    ]
    alone = [check.status for check in verify(lineage_of(stored, tmp_path / "nowhere"), None)]
    assert alone.count("record") == 4


def test_a_recipe_that_is_written_is_the_recipe_that_was_run(tmp_path: Path) -> None:
    recipe = load_recipe(Path("recipes/everything/curate.toml"), CurateRecipe)
    run = RunDirectory(tmp_path, "curate", recipe.name)
    run.finish(recipe.published(), [], {})
    (path,) = write_recipes(lineage_of(run.path, tmp_path), tmp_path / "recipes")
    assert load_recipe(path, CurateRecipe).published() == recipe.published()


def test_what_has_no_manifest_has_no_story(tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    with pytest.raises(NotFoundError, match="nothing is known"):
        lineage_of(tmp_path / "bare", tmp_path)
