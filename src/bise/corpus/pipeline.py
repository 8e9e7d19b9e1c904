"""A curation run, from the recipe to the manifest.

First every unit is examined alone, in as many processes as there are cores; then all documents that passed are compared
with each other; last, the units write what is left. Results of finished units are kept until the run is, so a run that
was killed at any moment goes on where it was, and comes to the same bytes for any number of workers.
"""

import itertools
import os
import shutil
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from bise.corpus.cuts import FINDING, HASHING, find_cuts
from bise.corpus.examine import open_steps
from bise.corpus.facts import corpus_facts, reading_facts
from bise.corpus.fingerprints import DOCUMENTS_FOLDER, FINGERPRINTS_FILE, read_known, write_fingerprints
from bise.corpus.output import STATISTICS_FOLDER, UnitWriter, place_outputs, write_decisions
from bise.corpus.pool import run_tasks
from bise.corpus.progress import Meter, Progress
from bise.corpus.recipe import CurateRecipe
from bise.corpus.selection import compare, limit
from bise.corpus.stages import UnitExaminer
from bise.corpus.survivors import read_survivors
from bise.corpus.units import Unit, hash_of, plan_units, step_inputs, unit_inputs
from bise.corpus.work import WorkDirectory
from bise.errors import InputError
from bise.memory import keep_freed_memory
from bise.runs import MANIFEST, Input, Manifest, RunDirectory, read_manifest, run_input

_LITTLE_BYTES = 4 << 20  # stored bytes below which starting processes takes longer than the work
_EXAMINING, _COMPARING, _WRITING = "Examining", "Comparing documents", "Writing"  # phases


def curate(recipe: CurateRecipe, progress: Progress | None = None) -> Manifest:
    """Run a recipe to `<root>/curate/<name>/` and return its manifest.

    Raises:
        InputError: a hash differs, a source is damaged or yields nothing, nothing is kept, or the name is taken.
        NotFoundError: a source is absent.
        UnavailableError: a worker process was killed.
    """
    keep_freed_memory()
    units, earlier = plan_units(recipe), _check_earlier(recipe)
    run = RunDirectory(recipe.root, "curate", recipe.name)
    work = WorkDirectory(recipe.root, recipe.name)
    work.sweep()
    shutil.rmtree(run.path / DOCUMENTS_FOLDER, ignore_errors=True)  # of a run that was killed when it was almost done
    shutil.rmtree(run.path / STATISTICS_FOLDER, ignore_errors=True)
    (run.path / FINGERPRINTS_FILE).unlink(missing_ok=True)
    meter = _meter(units, recipe, progress)
    num_workers = _num_workers(units, recipe)
    unfinished = [unit for unit in units if work.facts(unit.key) is None]
    if unfinished:
        steps = open_steps(recipe)
        run_tasks(
            unfinished, partial(UnitExaminer, steps, work), num_workers, meter.units(_EXAMINING, unfinished), _size
        )
    _check_yield(units, recipe, work)
    meter.text_bytes = sum(_noted(unit, work)["bytes"] for unit in units)
    writer = UnitWriter(work, _decide(units, recipe, work, meter))
    unwritten = [unit for unit in units if work.facts(writer.key(unit)) is None]
    run_tasks(
        unwritten, partial(UnitWriter, work, writer.decisions), num_workers, meter.units(_WRITING, unwritten), _size
    )
    place_outputs(units, writer, run.path)
    facts = corpus_facts(run.path, recipe) | reading_facts(units, work, writer.decisions)
    if not facts["kept"]:
        raise InputError(f"No document was kept. Dropped by reason: {facts['dropped']}. Loosen the recipe's rules.")
    if recipe.output.fingerprints:
        (work.result(writer.decisions) / FINGERPRINTS_FILE).replace(run.path / FINGERPRINTS_FILE)
    manifest = run.finish(recipe.published(), [*earlier, *unit_inputs(units), *step_inputs(recipe)], facts)
    work.remove()
    return manifest


def finished_as(recipe: CurateRecipe) -> Manifest | None:
    """The manifest of the run that a recipe names, when this very recipe made it; None when there is no finished run.

    Raises:
        InputError: another recipe made it.
    """
    directory = recipe.root / "curate" / recipe.name
    if not (directory / MANIFEST).exists():
        return None
    manifest = read_manifest(directory)
    if hash_of(manifest.config) != hash_of(recipe.published()):
        raise InputError(f"{directory} was made with another recipe. Choose another name with --set name=…")
    return manifest


def _size(unit: Unit) -> int:
    return unit.size_bytes


def _meter(units: Sequence[Unit], recipe: CurateRecipe, progress: Progress | None) -> Meter:
    # Seconds for the same text, compared with each other, as measured with `recipes/everything`.
    weights = {_EXAMINING: 24, _COMPARING: 1}
    weights |= {HASHING: 1} if recipe.duplicates.windows else {}
    weights |= {FINDING: 1} if recipe.duplicates.cut_kinds else {}
    return Meter(units, weights | {_WRITING: 3}, progress)


def _num_workers(units: Sequence[Unit], recipe: CurateRecipe) -> int:
    if recipe.workers:
        return recipe.workers
    little = sum(unit.size_bytes for unit in units) < _LITTLE_BYTES
    return 1 if little else os.cpu_count() or 1


def _check_yield(units: Sequence[Unit], recipe: CurateRecipe, work: WorkDirectory) -> None:
    """Fail on a source that is empty or too damaged to trust."""
    allowed = recipe.sources.max_bad_lines
    for source in recipe.sources.list:
        facts = [_noted(unit, work) for unit in units if unit.source.name == source.name]
        num_lines, num_bad = sum(entry["records"] for entry in facts), sum(entry["bad"] for entry in facts)
        if num_bad > allowed * num_lines:
            examples = "; ".join([example for entry in facts for example in entry["bad_examples"]][:3])
            raise InputError(
                f"The source {source.name} has {num_bad:,} malformed records of {num_lines:,} ({examples}), more than "
                f"the share of {allowed} that sources.max_bad_lines allows. Mend the file, or raise the share."
            )
        cut_short = [name for entry in facts for name in entry["cut_short"]]
        if len(cut_short) > allowed * sum(len(unit.files) for unit in units if unit.source.name == source.name):
            raise InputError(
                f"{', '.join(cut_short[:3])} of the source {source.name} could not be read to its end. "
                "Fetch or pack it again."
            )
        if num_lines == num_bad + sum(sum(entry["passed_over"].values()) for entry in facts):
            raise InputError(
                f"The source {source.name} holds no documents. Check its files, or take it out of the recipe."
            )


def _noted(unit: Unit, work: WorkDirectory) -> dict[str, Any]:
    facts = work.facts(unit.key)
    assert facts is not None
    return facts


def _decide(units: Sequence[Unit], recipe: CurateRecipe, work: WorkDirectory, meter: Meter) -> str:
    """Compare all documents that passed with each other; the key that the decisions are kept under."""
    earlier = recipe.duplicates.against
    key = hash_of([[unit.key for unit in units], recipe.corpus_steps(), [run_input(path).sha256 for path in earlier]])
    if work.facts(key) is None:
        advance = meter.share(_COMPARING, units)
        survivors, known = read_survivors(units, work), read_known(earlier, near=recipe.duplicates.near)
        decisions, measured = compare(survivors, known, recipe, advance)
        spans = [np.empty((0, 3), np.int64)] * len(units)
        cut_bytes = np.zeros(len(survivors), np.int64)
        if kinds := recipe.duplicates.cut_kinds:
            workers = _num_workers(units, recipe)
            spans, cut_bytes = find_cuts(units, survivors, decisions, work, kinds, workers, meter)
        limit(survivors, decisions, cut_bytes, recipe)
        names = pa.chunked_array([*survivors.ids.chunks, pa.array(known.ids, pa.string())])
        with work.writing(key) as (directory, facts):
            facts.update(measured)
            bounds = itertools.pairwise(survivors.unit_starts)
            write_decisions((decisions.table(names, start, stop) for start, stop in bounds), spans, directory)
            kept = np.flatnonzero(decisions.kept)
            bands = survivors.bands[kept] if recipe.duplicates.near else survivors.bands
            write_fingerprints(survivors.ids.take(kept), survivors.digests[kept], bands, directory / FINGERPRINTS_FILE)
    return key


def _check_earlier(recipe: CurateRecipe) -> list[Input]:
    """The earlier runs that documents are compared with, as a manifest names them.

    Raises:
        NotFoundError: one is not there or not finished.
        InputError: one lies elsewhere, so that the way back to it would be lost.
    """
    for directory in recipe.duplicates.against:
        if directory.resolve().parent != (recipe.root / "curate").resolve():
            raise InputError(
                f"duplicates.against names {directory}, which is not below {recipe.root / 'curate'}. "
                "Name runs that lie beside this one."
            )
    return [run_input(directory) for directory in recipe.duplicates.against]
