"""What a release says is what the records say, its forms are valid by their schemas, and what is not known is marked."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bise.config import load_recipe
from bise.errors import InputError
from bise.openness.release.directory import Release, release
from bise.openness.release.framework import CLASSES, COMPONENTS
from bise.openness.release.licences import compare, kind_of, spdx_id
from bise.openness.release.record import About
from bise.openness.steps import Source
from bise.runs import sha256_file
from bise.weights.pull import Source as PullSource
from bise.weights.pull import pull
from tests.openness.tiny_chain import make_chain, store_model

TOLD = {
    "licence": "Apache-2.0",
    "provider": "Example AG",
    "contact": "models@example.org",
    "intended_use": "Trying things out.",
    "technical_report": "https://example.org/report",
    "evaluation_data": "https://example.org/evaluation",
}


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BISE_HOME", str(tmp_path / "home"))
    return store_model(make_chain(tmp_path / "runs"), "tiny")


def write(stored: Path, name: str = "out", **told: str) -> tuple[Path, Release]:
    target = stored.parents[2] / name
    return target, release(stored, stored.parents[2] / "runs", target, About(**told))


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_everything_is_there_and_the_checksums_hold(stored: Path) -> None:
    target, written = write(stored)
    names = {path.relative_to(target).as_posix() for path in written.files}
    assert {"README.md", "model.safetensors", "config.json", "tekken.json", "lineage.json", "SHA256SUMS"} <= names
    assert {"croissant-tiny.json", "bom.cdx.json", "mof.yml", "openness.md", "recipes/tune-tiny.toml"} <= names
    assert {"training-content-summary.md", "model-documentation.md"} <= names
    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=target, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(": OK") == len(names) - 1
    assert pull(PullSource(target), "back").path.is_dir()


def test_the_same_model_and_answers_give_the_same_bytes(stored: Path) -> None:
    first, second = write(stored, "a", **TOLD)[0], write(stored, "b", **TOLD)[0]
    assert (first / "SHA256SUMS").read_bytes() == (second / "SHA256SUMS").read_bytes()


def test_the_bill_of_materials_is_strictly_valid_and_keeps_its_model_card(stored: Path) -> None:
    for name, told in (("bare", {}), ("told", {**TOLD, "limitations": "It is tiny."})):
        target, _ = write(stored, name, **told)
        text = (target / "bom.cdx.json").read_text(encoding="utf-8")
        assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    card = bom["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0] == {
        "type": "bits per byte",
        "value": "1.6250",
        "slice": "en",
    }
    assert bom["metadata"]["component"]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    parts = {part["bom-ref"]: part for part in bom["components"]}
    assert {ref["ref"] for ref in card["modelParameters"]["datasets"]} <= set(parts)
    assert parts["data:documents:tales"]["version"] == "0123456789ab"
    assert parts["software:torch@2.13.0"]["type"] == "library"
    assert parts["file:model.safetensors"]["hashes"][0]["content"] == sha256_file(target / "model.safetensors")


def test_the_validator_would_see_a_mistake(stored: Path) -> None:
    bom = read(write(stored)[0] / "bom.cdx.json")
    bom["metadata"]["component"]["modelCard"]["modelParameters"]["approach"]["type"] = "by magic"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


def test_the_data_card_names_files_hashes_licences_and_what_was_dropped(stored: Path) -> None:
    card = read(write(stored)[0] / "croissant-tiny.json")
    assert card["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    (file,) = card["distribution"]
    corpus = stored.parents[2] / "runs/curate/tiny"
    assert file["sha256"] == sha256_file(corpus / file["contentUrl"])
    assert card["license"] == ["https://spdx.org/licenses/CC-BY-4.0", "https://spdx.org/licenses/CC0-1.0"]
    assert "3 documents were dropped by the rule min_words." in card["rai:dataPreprocessingProtocol"]
    assert {field["source"]["extract"]["column"] for field in card["recordSet"][0]["field"]} >= {"text", "licence"}


def test_forms_hold_what_is_known_and_mark_what_is_not(stored: Path) -> None:
    bare, few = write(stored, "bare")
    told, fewer = write(stored, "told", **TOLD)
    assert few.num_by_hand > fewer.num_by_hand > 0
    summary = (told / "training-content-summary.md").read_text(encoding="utf-8")
    for words in (
        "Example AG",
        "https://example.org/tales at 0123456789ab",
        "less than 1 billion tokens: 180,000",
        "en, fr",
    ):
        assert words in summary
    assert "to be filled in by a person: legal name" in (bare / "training-content-summary.md").read_text(
        encoding="utf-8"
    )
    documentation = (told / "model-documentation.md").read_text(encoding="utf-8")
    for words in ("2.00 hours", "2.23e+11 FLOP", "2.50e-04 MWh", "tokens * (6 * matrix weights)", "A processor"):
        assert words in documentation
    readme = (told / "README.md").read_text(encoding="utf-8")
    for words in (
        "license: apache-2.0",
        "| tales | CC BY 4.0 (LICENSE) |",
        "| en | 1.625 |",
        "bise train recipes/train-tiny.toml",
    ):
        assert words in readme


def test_a_model_of_which_nothing_is_known_claims_nothing(stored: Path) -> None:
    (stored / "lineage.json").unlink()
    target = stored.parents[2] / "unknown"
    written = release(stored, stored.parents[2] / "nowhere", target, About())
    assert set(written.openness.present) == {"Model parameters (Final)", "Model card"}
    assert not list(target.glob("croissant-*"))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((target / "bom.cdx.json").read_text()) is None
    assert "trained from the start" not in (target / "training-content-summary.md").read_text(encoding="utf-8")


def test_the_class_of_openness_and_what_the_next_one_lacks(stored: Path) -> None:
    target, bare = write(stored, "bare")
    assert (bare.openness.reached, bare.openness.missing) == ("", ("Technical report",))
    _, told = write(stored, "told", **TOLD)
    assert told.openness.reached == "II Open Tooling"
    assert told.openness.missing == ("Research paper", "Datasets", "Model parameters (Intermediate)")
    file = read(target / "mof.yml")
    assert [one["name"] for one in file["release"]["components"]] == list(COMPONENTS)
    assert len(COMPONENTS) == 17
    assert sum(len(wanted) for _, wanted in CLASSES) == 16  # sample outputs belong to none
    report = next(one for one in file["release"]["components"] if one["name"] == "Technical report")
    assert report["license_name"] == "Component not included"


@pytest.mark.parametrize(
    ("licence", "kind", "spdx", "verdict"),
    [
        ("CC BY-NC 4.0", "non-commercial", None, "conflicts"),
        ("CC BY-ND 4.0", "no derivatives", None, "conflicts"),
        ("CC BY-SA 3.0 (legal.xml)", "share-alike", "CC-BY-SA-3.0", "to be decided"),
        ("MPL 2.0", "copyleft", "MPL-2.0", "to be decided"),
        ("texts public domain; markup CC BY 4.0 (README.md)", "attribution", None, "fits with attribution"),
        ("MIT (LICENSE)", "permissive", "MIT", "fits with attribution"),
        ("public domain, CC0 1.0 worldwide", "public domain", None, "fits"),
        ("ask us", None, None, "to be read"),
    ],
)
def test_licences_beside_apache(licence: str, kind: str | None, spdx: str | None, verdict: str) -> None:
    assert (kind_of(licence), spdx_id(licence)) == (kind, spdx)
    (finding,) = compare([Source("a", licence, "", 1, "documents", None)], "Apache-2.0")
    assert finding.verdict == verdict


def test_share_alike_fits_itself() -> None:
    sources = [Source("a", "CC BY-SA 4.0", "", 1, "documents", None)]
    assert compare(sources, "CC-BY-SA-4.0")[0].verdict == "fits with attribution"
    assert compare(sources, "")[0].verdict == "no licence of the weights is chosen"


def test_an_existing_directory_is_kept(stored: Path) -> None:
    target, _ = write(stored)
    with pytest.raises(InputError, match="there already"):
        write(stored)
    assert (target / "SHA256SUMS").is_file()
    assert not list(target.parent.glob("*.unfinished"))


def test_what_only_people_know_is_read_strictly(tmp_path: Path) -> None:
    (tmp_path / "about.toml").write_text('providr = "A"', encoding="utf-8")
    with pytest.raises(InputError, match="providr"):
        load_recipe(tmp_path / "about.toml", About)
