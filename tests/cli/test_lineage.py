"""`bise lineage` and `bise verify` tell a model's story, and whether it still holds."""

import json
from pathlib import Path

import pytest

from bise.cli.main import run
from bise.openness.lineage import RECORD_FILE
from bise.weights.store import find_model
from tests.openness.tiny_chain import make_chain, store_model


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))
    store_model(make_chain(tmp_path / "runs"), "tiny")
    return tmp_path / "runs"


def status(*arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as ended:
        run([str(each) for each in arguments])
    return str(ended.value.code)


def test_every_step_back_to_the_sources_is_told(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipes = runs.parent / "recipes"
    assert status("lineage", "tiny", "--runs", "nowhere", "--recipes", recipes) == "0"
    told = capsys.readouterr().out
    for words in ("tune/tiny", "0.125 kWh, 0.04 EUR", "tales: 12 documents, CC BY 4.0", "only the record is here"):
        assert words in told
    assert sorted(path.name for path in recipes.iterdir()) == [
        f"{stage}-tiny.toml" for stage in ("curate", "tokenizer", "train", "tune")
    ]
    assert status("lineage", "tiny", "--runs", runs, "--json") == "0"
    assert len(json.loads(capsys.readouterr().out)["steps"]) == 5
    (find_model("tiny") / RECORD_FILE).unlink()
    assert status("lineage", "tiny", "--runs", "nowhere") == "0"
    assert "no record of it on this machine" in capsys.readouterr().out


def test_the_model_that_ships_tells_its_story_anywhere(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("lineage", "bise-demo", "--runs", runs) == "0"
    told = capsys.readouterr().out
    for words in ("tune/european", "train/european", "tokenizer/european", "storybooks: 740 documents, CC BY"):
        assert words in told
    assert "no record of it on this machine" not in told


def test_a_hash_that_differs_ends_with_1_and_a_sentence(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status("verify", "tiny", "--runs", runs) == "0"
    assert capsys.readouterr().out.startswith("No hash differs.")
    (runs / "train/tiny/model/spec.json").write_text("{}", encoding="utf-8")
    assert status("verify", "tiny", "--runs", runs) == "1"
    assert capsys.readouterr().out.startswith("train/tiny/model/spec.json differs")
    assert status("verify", "tiny", "--runs", runs, "--json") == "1"
    assert any(check["status"] == "differs" for check in json.loads(capsys.readouterr().out))
