"""A run is finished exactly when its manifest is there, and its manifest tells its files and parents by hash."""

import hashlib
from pathlib import Path

import pytest

from bise.errors import InputError, NotFoundError
from bise.runs import MANIFEST, RunDirectory, read_manifest, run_input


def test_a_finished_run_names_its_files_by_hash_and_reads_back(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "curate", "a")
    (run.path / "out.txt").write_text("text", encoding="utf-8")
    written = run.finish({"steps": 1}, [], {"kept": 3})
    assert read_manifest(run.path) == written
    assert written.outputs[0].sha256 == hashlib.sha256(b"text").hexdigest()
    assert run_input(run.path).sha256 == hashlib.sha256((run.path / MANIFEST).read_bytes()).hexdigest()


def test_an_unfinished_run_is_not_a_run(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "curate", "a")
    with pytest.raises(NotFoundError, match="did not finish"):
        read_manifest(run.path)


def test_a_finished_run_is_never_overwritten(tmp_path: Path) -> None:
    RunDirectory(tmp_path, "curate", "a").finish({}, [], {})
    with pytest.raises(InputError, match="already holds a finished run"):
        RunDirectory(tmp_path, "curate", "a")


def test_a_missing_run_lists_what_exists(tmp_path: Path) -> None:
    RunDirectory(tmp_path, "curate", "other").finish({}, [], {})
    with pytest.raises(NotFoundError, match="other"):
        read_manifest(tmp_path / "curate" / "a")


def test_a_damaged_manifest_is_named(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path, "curate", "a")
    (run.path / MANIFEST).write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="damaged"):
        read_manifest(run.path)
