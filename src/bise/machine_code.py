"""Where numba's machine code is kept, for every room that has compiled loops.

numba's own cache looks only at the file of the function that it compiles and would miss an edit in a function called
from it, so a cache directory is named by a hash of all of a room's kernel sources, numba's version and the processor.
"""

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import llvmlite.binding
import numba

from bise.config import cache_home

UNUSED_S = 30 * 24 * 3600


@cache
def cache_directory(sources: Path) -> Path:
    """The cache directory for the kernel sources in a directory; noted as used, and others long unused are deleted."""
    directory = directory_for(sources)
    if is_writable(directory):
        os.utime(directory)
        remove_unused(directory.parent)
    return directory


def directory_for(sources: Path) -> Path:
    """Its path: another one for every edit, numba and processor."""
    digest = hashlib.sha256(f"{numba.__version__} {llvmlite.binding.get_host_cpu_name()}".encode())
    for path in sorted(sources.rglob("*.py")):
        digest.update(path.read_bytes() + path.stat().st_mtime_ns.to_bytes(8, "little"))  # numba compares times too
    return cache_home() / "kernels" / digest.hexdigest()[:16]


@contextlib.contextmanager
def kept_in(directory: Path) -> Iterator[bool]:
    """While functions are decorated: where numba is to keep their machine code; gives whether it can."""
    previous = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(directory)  # read once, while a decorator runs
    try:
        yield is_writable(directory)
    finally:
        numba.config.CACHE_DIR = previous


@cache
def is_writable(directory: Path) -> bool:
    """Whether machine code can be kept; if not, every process compiles again."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return True
    except OSError:
        return False


def remove_unused(parent: Path, now: float | None = None) -> None:
    """Delete directories of other sources or versions that no start has used for a month."""
    now = time.time() if now is None else now
    for directory in parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process may be tidying up as well
            if directory.is_dir() and now - directory.stat().st_mtime > UNUSED_S:
                shutil.rmtree(directory, ignore_errors=True)
