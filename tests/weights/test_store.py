"""A model enters the store whole and checked, or not at all, and its manifest says what it was made from."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.config import home
from bise.errors import InputError, NotFoundError
from bise.runs import RunDirectory, read_manifest, run_input
from bise.weights import store
from bise.weights.files import open_weights
from bise.weights.pull import Source, pull
from bise.weights.spec import Quantisation
from tests.random_models import TINY, random_tensors, write_model


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))


def finished_run(root: Path, stage: str = "train") -> Path:
    run = RunDirectory(root, stage, "first")
    model = write_model(run.path / "model", TINY)
    (model / "tekken.json").write_text("{}", encoding="utf-8")
    (model / "card.md").write_text("# A card\n", encoding="utf-8")
    run.finish({}, [], {"tokens": 5})
    return run.path


def take(path: Path, name: str, precision: str | None = None, card: str | None = None) -> Path:
    return pull(Source(path), name, precision, {} if card is None else {"card.md": card}).path


def pulled(name: str, tmp_path: Path) -> Path:
    return take(finished_run(tmp_path / name), name)


def test_a_run_becomes_a_model_that_names_it_by_hash(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "runs")
    path = take(run, "mine")
    assert path == store.find_model("mine") == home() / "models" / "mine"
    manifest = read_manifest(path)
    assert (manifest.stage, manifest.name, manifest.inputs) == ("model", "mine", (run_input(run),))
    assert manifest.facts["tokens"] == 5
    assert {output.path for output in manifest.outputs} == {p.name for p in path.iterdir()} - {"manifest.json"}
    assert (path / "model.safetensors").read_bytes() == (run / "model/model.safetensors").read_bytes()
    assert store.read_card(path) == "# A card\n"


def test_pulling_in_eight_bits_quantises(tmp_path: Path) -> None:
    path = take(finished_run(tmp_path / "runs", "tune") / "model", "small", "8")
    assert open_weights(path).spec == replace(TINY, quantisation=Quantisation(8, 32))
    assert read_manifest(path).config["bits"] == "8"
    assert (path / "card.md").exists()
    assert (path / "tekken.json").exists()


def test_a_model_can_be_made_from_a_model_or_a_bare_directory(tmp_path: Path) -> None:
    first = pulled("first", tmp_path)
    again = take(first, "again", "8")
    assert read_manifest(again).inputs[0].kind == "model"
    bare = write_model(tmp_path / "bare", TINY)
    (bare / "tekken.json").write_text("{}", encoding="utf-8")
    assert read_manifest(take(bare, "third")).inputs[0].kind == "file"


def test_models_are_listed_found_by_path_and_removed(tmp_path: Path) -> None:
    path = pulled("mine", tmp_path)
    (home() / "models" / "broken").mkdir()
    listed = {model.name: model for model in store.list_models() if not model.shipped}
    assert listed["mine"].spec == TINY
    assert listed["mine"].facts()["parameters"] == TINY.num_parameters()
    assert "spec.json" in (listed["broken"].problem or "")
    assert "damaged" in listed["broken"].summary()
    assert store.find_model(str(path)) == path
    assert listed["mine"].parents == ("train/first",)
    assert "from train/first" in listed["mine"].summary()
    store.remove_model("mine")
    assert not path.exists()
    with pytest.raises(NotFoundError, match="broken"):
        store.find_model("mine")


def test_a_licence_is_the_model_s_own_or_that_of_what_it_learned_from() -> None:
    (shipped,) = (model for model in store.list_models() if model.shipped)
    assert shipped.licence == ""
    assert "Apache-2.0" in shipped.text_licences
    assert shipped.facts()["text_licences"] == list(shipped.text_licences)
    assert f"licence of its texts: {', '.join(shipped.text_licences)}" in shipped.summary()
    own = replace(shipped, licence="EUPL-1.2")
    assert "licence EUPL-1.2, " in own.summary()
    assert "licence not stated" in replace(shipped, text_licences=()).summary()


def test_the_store_holds_nothing_of_a_pull_that_failed(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    tensors["output.weight"][-1, -1] = np.inf
    broken = write_model(tmp_path / "broken", TINY, tensors)
    (broken / "tekken.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="not numbers"):
        take(broken, "mine", "8")
    assert list((home() / "models").iterdir()) == []


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/x", ".x", "-x", "a..b", "x" * 65, "ä", "a\n", "a b"])
def test_names_never_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="not a model's name"):
        take(finished_run(tmp_path / "runs"), name)
    with pytest.raises(InputError, match="not a model's name"):
        store.remove_model(name)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    pulled("mine", tmp_path)
    with pytest.raises(InputError, match="already is a model named mine"):
        take(finished_run(tmp_path / "runs"), "mine")


def test_what_cannot_be_pulled_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing at"):
        take(tmp_path / "none", "mine")
    unfinished = RunDirectory(tmp_path, "train", "unfinished").path
    with pytest.raises(NotFoundError, match="did not finish"):
        take(unfinished, "mine")
    curated = RunDirectory(tmp_path, "curate", "texts")
    curated.finish({}, [], {})
    with pytest.raises(InputError, match="curate run"):
        take(curated.path, "mine")
    with pytest.raises(InputError, match=r"no tekken\.json"):
        take(write_model(tmp_path / "mute", TINY), "mine")


def test_weights_that_are_not_those_of_the_run_are_refused(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "runs")
    with (run / "model/model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\0\0")
    with pytest.raises(InputError, match="its hash differs"):
        take(run, "mine")


def test_a_missing_path_or_name_says_what_exists(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no model at .*spec\.json"):
        store.find_model(str(tmp_path / "nothing"))
    with pytest.raises(NotFoundError, match="no model named nothing"):
        store.find_model("nothing")


def test_the_shipped_model_is_there_or_said_to_be_absent() -> None:
    if store.shipped_directory().exists():
        assert store.find_model(store.DEFAULT_MODEL) == store.shipped_directory()
        with pytest.raises(InputError, match="part of the installed package"):
            store.remove_model(store.DEFAULT_MODEL)
    else:
        with pytest.raises(NotFoundError, match="built without its demonstration model"):
            store.find_model(store.DEFAULT_MODEL)


def test_a_damaged_manifest_of_a_run_is_a_sentence(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "runs")
    (run / "manifest.json").write_text(json.dumps({"stage": "train"})[:5], encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        take(run, "mine")


def test_a_card_given_replaces_the_source_s_and_is_in_the_manifest(tmp_path: Path) -> None:
    path = take(finished_run(tmp_path / "runs"), "mine", card="# Another\n")
    assert store.read_card(path) == "# Another\n"
    assert {output.path for output in read_manifest(path).outputs} >= {"card.md", "spec.json"}
