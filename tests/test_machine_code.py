"""Machine code is kept apart for every version of its sources, and not for ever."""

import os
from pathlib import Path

from bise.machine_code import UNUSED_S, directory_for, is_writable, remove_unused


def test_the_cache_is_named_by_its_sources(tmp_path: Path) -> None:
    sources = tmp_path / "kernels"
    sources.mkdir()
    (sources / "simd.py").write_text("one", encoding="utf-8")
    first = directory_for(sources)
    assert directory_for(sources) == first
    (sources / "simd.py").write_text("two", encoding="utf-8")
    assert directory_for(sources) != first


def test_only_what_no_start_has_used_for_long_is_deleted(tmp_path: Path) -> None:
    now = 1e9
    for name, age in (("used", 0), ("recent", UNUSED_S - 9), ("old", UNUSED_S + 9)):
        (tmp_path / name / "linear").mkdir(parents=True)
        os.utime(tmp_path / name, (now - age, now - age))
    remove_unused(tmp_path, now)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recent", "used"]


def test_a_cache_that_cannot_be_written_is_noticed(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("", encoding="utf-8")
    assert not is_writable(blocked / "kernels")
