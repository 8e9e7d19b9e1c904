"""The same bytes for any number of workers, and after being killed anywhere."""

import itertools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bise.corpus.pipeline import curate
from bise.corpus.progress import Standing
from bise.corpus.readers import read_curated
from bise.corpus.recipe import CurateRecipe, Source, SourceFile, Sources
from bise.corpus.units import plan_units
from bise.corpus.work import WorkDirectory
from tests.command import ROOT

Maker = Callable[..., Any]
FILES = 6


@pytest.fixture
def recipe(tmp_path: Path, write_lines: Maker, make_records: Maker) -> CurateRecipe:
    """Six units with copies across them."""
    everything = []
    for number in range(FILES):
        records = make_records(f"s{number}", 30)
        copies = [{**record, "id": f"{record['id']}/copy/{number}"} for record in everything[:5]]
        write_lines(f"s{number}.jsonl", records + copies)
        everything += records
    sources = tuple(Source(f"s{number}", "CC0 1.0", (SourceFile(f"s{number}.jsonl"),)) for number in range(FILES))
    return CurateRecipe("one", Sources(sources, root=tmp_path / "raw"), root=tmp_path / "runs", workers=1)


@pytest.mark.slow
def test_workers_and_one_process_write_the_same_bytes(recipe: CurateRecipe) -> None:
    assert curate(recipe).outputs == curate(replace(recipe, name="two", workers=2)).outputs


@pytest.mark.parametrize("stop_after", range(0, 50, 7))
def test_an_interrupted_run_goes_on_where_it_was(recipe: CurateRecipe, stop_after: int) -> None:
    recipe = replace(recipe, duplicates=replace(recipe.duplicates, windows=True))
    undisturbed: list[Standing] = []
    expected = curate(recipe, undisturbed.append).outputs
    again, calls = replace(recipe, name="again"), iter(range(100))

    def interrupt(standing: Standing) -> None:
        if next(calls) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        curate(again, interrupt)
    steps: list[Standing] = []
    assert curate(again, steps.append).outputs == expected
    for standings in (undisturbed, steps):
        done = [standing.done for standing in standings]
        assert done == sorted(done), "the bar goes back"
        assert done[-1] == standings[-1].total
    examined = sum(standing.phase == "Examining" for standing in steps)
    assert examined <= max(0, 2 + 2 * FILES - stop_after), "a finished unit was worked on again"


def test_every_phase_tells_how_far_it_is(recipe: CurateRecipe) -> None:
    recipe = replace(recipe, duplicates=replace(recipe.duplicates, windows=True))
    for workers in (1, 2):
        standings: list[Standing] = []
        facts: Any = curate(replace(recipe, name=f"w{workers}", workers=workers), standings.append).facts
        phases = [phase for phase, _ in itertools.groupby(standing.phase for standing in standings)]
        assert phases == ["Examining", "Comparing documents", "Hashing passages", "Finding repeats", "Writing"]
        for phase in phases:
            text_bytes = [standing.text_bytes for standing in standings if standing.phase == phase]
            assert text_bytes == sorted(text_bytes)
            assert len(set(text_bytes)) > 2, f"{phase} does not move"
        examined = [standing for standing in standings if standing.phase == "Examining"][-1]
        assert examined.text_bytes == facts["read_bytes"], "nothing of these texts is cut"


def test_what_other_inputs_or_recipes_made_is_not_used(recipe: CurateRecipe, write_lines: Maker) -> None:
    keys = [unit.key for unit in plan_units(recipe)]
    assert keys == [unit.key for unit in plan_units(replace(recipe, name="else", workers=2))]
    stricter = replace(recipe, rules=replace(recipe.rules, min_words=51))
    assert not set(keys) & {unit.key for unit in plan_units(stricter)}
    write_lines("s0.jsonl", [{"text": "other"}])
    assert [old == new.key for old, new in zip(keys, plan_units(recipe), strict=True)] == [False] + [True] * 5


def test_a_result_cut_short_is_made_again(recipe: CurateRecipe) -> None:
    work = WorkDirectory(recipe.root, "one")
    with work.writing("key") as (directory, facts):
        (directory / "file").write_bytes(b"12345")
        facts["a"] = 1
    assert work.facts("key") == {"a": 1}
    (work.result("key") / "file").write_bytes(b"123")
    assert work.facts("key") is None


@pytest.mark.slow
@pytest.mark.parametrize("delay_s", [0.3, 0.9, 1.5, 2.1])
def test_a_killed_parent_leaves_nothing_that_shows(recipe: CurateRecipe, tmp_path: Path, delay_s: float) -> None:
    expected = curate(recipe).outputs
    process = start(recipe, tmp_path)
    time.sleep(delay_s)
    process.kill()
    process.communicate()
    again = replace(recipe, name="killed", workers=2)
    if not (again.root / "curate" / "killed" / "manifest.json").exists():
        assert curate(again).outputs == expected


@pytest.mark.slow
def test_a_killed_worker_is_a_sentence_and_the_next_run_goes_on(recipe: CurateRecipe, tmp_path: Path) -> None:
    expected = curate(recipe).outputs
    process = start(recipe, tmp_path)
    os.kill(first_child(process.pid), signal.SIGKILL)
    error = process.communicate()[1].decode()
    assert process.returncode == 2, error
    assert "A worker process ended with status -9 while working on s" in error
    assert "Traceback" not in error
    assert curate(replace(recipe, name="killed", workers=2)).outputs == expected


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit_bytes", [100, 3_000, 8_000, 20_000])
def test_a_full_disk_is_a_sentence_and_the_next_run_goes_on(
    recipe: CurateRecipe, tmp_path: Path, workers: int, limit_bytes: int
) -> None:
    """Files of more bytes than the limit cannot be written, as on a disk that is full."""
    recipe = replace(recipe, duplicates=replace(recipe.duplicates, windows=True))
    expected = curate(recipe).outputs
    assert limit_bytes < max(output.size_bytes for output in expected), "nothing would fail"
    process = start(recipe, tmp_path, workers, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes,) * 2))
    error = process.communicate()[1].decode()
    assert process.returncode == 2, error
    assert "File too large. Free space there" in error
    assert "Traceback" not in error
    assert curate(replace(recipe, name="killed", workers=workers)).outputs == expected


def start(
    recipe: CurateRecipe, directory: Path, workers: int = 2, prepare: Callable[[], None] | None = None
) -> "subprocess.Popen[bytes]":
    """Run the recipe by its command as "killed"."""
    lines = [
        'name = "killed"',
        f"workers = {workers}",
        f'root = "{recipe.root}"',
        f'sources.root = "{recipe.sources.root}"',
    ]
    lines += [f"duplicates.windows = {str(recipe.duplicates.windows).lower()}"]
    for source in recipe.sources.list:
        lines += [
            "[[sources.list]]",
            f'name = "{source.name}"',
            f'licence = "{source.licence}"',
            f'files = [{{ path = "{source.files[0].path}" }}]',
        ]
    path = directory / "curate.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return subprocess.Popen(
        [sys.executable, "-m", "bise", "curate", str(path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        preexec_fn=prepare,  # noqa: PLW1509 - this process has no threads
    )


def first_child(parent: int) -> int:
    """The first worker of a process, when it has come to be."""
    children = Path(f"/proc/{parent}/task/{parent}/children")
    for _ in range(1000):
        for child in children.read_text().split():
            if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
        time.sleep(0.01)
    raise AssertionError("no worker was started")


def test_a_large_parquet_file_is_worked_on_in_parts(tmp_path: Path, make_records: Maker) -> None:
    (tmp_path / "raw").mkdir()
    table = pa.Table.from_pylist(make_records("p", 90))
    outputs = []
    for name, rows in (("whole", 90), ("parts", 30)):
        pq.write_table(table, tmp_path / "raw" / f"{name}.parquet", row_group_size=rows)
        source = Source("p", "CC0 1.0", (SourceFile(f"{name}.parquet"),))
        recipe = CurateRecipe(name, Sources((source,), root=tmp_path / "raw"), root=tmp_path / "runs")
        assert [len(unit.files) for unit in plan_units(recipe)] == [90 // rows], "small parts are gathered"
        assert [entry.name for entry in curate(recipe).inputs] == [f"{name}.parquet"]
        outputs.append([document.text for document in read_curated(tmp_path / "runs" / "curate" / name)])
    assert outputs[0] == outputs[1] == table.column("text").to_pylist()
