"""Results of an unfinished run: kept by key, so that a run that was killed goes on where it was.

A result is a directory that appears by rename, so it is there whole or not at all.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bise.errors import UnavailableError
from bise.runs import write_atomically

_DONE = "done.json"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class WorkDirectory:
    """The unfinished results of one run."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / "unfinished" / "curate" / name

    def result(self, key: str) -> Path:
        """Where a result lies, or will."""
        return self.path / key

    def facts(self, key: str) -> dict[str, Any] | None:
        """What was noted of a finished result; None when there is none, or files of it are missing or cut short."""
        done = self.result(key) / _DONE
        if not done.exists():
            return None
        noted: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        whole = all(_size(self.result(key) / name) == size for name, size in noted["sizes"].items())
        facts: dict[str, Any] = noted["facts"]
        return facts if whole else None

    @contextmanager
    def writing(self, key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
        """A directory to write a result into and a table to note facts in; the result is there when the block ends.

        Raises:
            UnavailableError: the disk is full.
        """
        part = self.path / f"{key}.{os.getpid()}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        facts: dict[str, Any] = {}
        try:
            yield part, facts
            sizes = {path.name: path.stat().st_size for path in sorted(part.iterdir())}
            write_atomically(part / _DONE, json.dumps({"facts": facts, "sizes": sizes}))
            shutil.rmtree(self.result(key), ignore_errors=True)  # a damaged one
            part.rename(self.result(key))
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise UnavailableError(
                f"{self.path} cannot grow: {os.strerror(error.errno)}. Free space there and run the same command again: "
                "what was finished is kept."
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def sweep(self) -> None:
        """Take away what killed or failed runs left half written."""
        for part in self.path.glob("*.part"):
            shutil.rmtree(part, ignore_errors=True)

    def remove(self) -> None:
        """Forget every result, and what killed runs left half written."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):  # other unfinished runs lie beside it
            self.path.parent.rmdir()


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array for `np.load`; unlike `np.save`, an error says by its number why."""
    with path.open("wb") as file:
        header = np.lib.format.header_data_from_array_1_0(array)  # type: ignore[no-untyped-call]
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        file.write(np.ascontiguousarray(array).data)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
