"""Marks by parts are those of all hashes at once, whatever the parts and files are."""

import itertools
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.corpus.partitions import mark_files
from bise.corpus.repeats import Hashes, Marks, mark_repeats, paragraph_hashes, window_hashes
from bise.corpus.texts import pack
from tests.command import ROOT


def by_parts(files: list[Hashes], directory: Path, marked_at_once: int, read_at_once: int) -> Marks:
    sources = [directory / f"{index}.hashes" for index in range(len(files))]
    targets = [directory / f"{index}.marks" for index in range(len(files))]
    for source, hashes in zip(sources, files, strict=True):
        source.write_bytes(hashes.tobytes())
    mark_files(sources, targets, directory, marked_at_once, read_at_once)
    assert sorted(directory.iterdir()) == sorted([*sources, *targets]), "parts are left"
    return np.concatenate([np.empty(0, np.bool_), *(np.fromfile(target, np.bool_) for target in targets)])


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 40), max_size=20), max_size=4),
    st.sampled_from([1, 3, 1 << 24]),
    st.sampled_from([1, 7, 1 << 22]),
)
def test_marks_by_parts_are_those_of_all_together(files: list[list[int]], marked: int, read: int) -> None:
    arrays = [np.array(file, np.uint64) for file in files]
    with tempfile.TemporaryDirectory() as directory:
        marks = by_parts(arrays, Path(directory), marked, read)
    everything = list(itertools.chain(*files))
    assert marks.tolist() == mark_repeats(np.array(everything, np.uint64)).tolist()
    both = mark_repeats(np.array(everything, np.uint64), also_first=True)
    assert both.tolist() == [everything.count(value) > 1 for value in everything]


@pytest.mark.parametrize("marked_at_once", [500, 10_000, 1 << 24])
def test_marks_of_real_texts_are_the_same(tmp_path: Path, marked_at_once: int) -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md"))]
    texts += texts[1::2]
    files = [hashes(*pack([text]))[0] for hashes in (paragraph_hashes, window_hashes) for text in texts]
    expected = mark_repeats(np.concatenate(files))
    assert 0.2 < expected.mean() < 0.8
    assert np.array_equal(by_parts(files, tmp_path, marked_at_once, 1000), expected)


def test_memory_does_not_grow_with_the_number_of_hashes(tmp_path: Path) -> None:
    mark_repeats(np.zeros(1, np.uint64))  # so that compiling it is not counted
    peaks = []
    for number, millions in enumerate((1, 4)):
        directory = tmp_path / str(number)
        directory.mkdir()
        sources, targets = [directory / "hashes"], [directory / "marks"]
        np.random.default_rng(0).integers(0, 1 << 20, millions << 20, np.uint64).tofile(sources[0])
        tracemalloc.start()
        mark_files(sources, targets, directory, 1 << 16, 1 << 16)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]
    assert peaks[0] < 80 * (1 << 16), "bytes a hash that is in memory"
