"""From a model one walks back to its corpus, and a parent that changed meanwhile is noticed."""

from pathlib import Path

import pytest

from bise.errors import InputError, NotFoundError
from bise.openness.lineage import ancestors
from bise.runs import MANIFEST, RunDirectory, run_input


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
