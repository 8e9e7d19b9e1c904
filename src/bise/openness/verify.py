"""Recompute every hash that a lineage names: of the files that each step wrote, and of the data that it read."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bise.errors import NotFoundError
from bise.openness.lineage import Ancestor, Lineage
from bise.openness.steps import shards_of
from bise.runs import sha256_file

Status = Literal["same", "differs", "absent", "record"]
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Check:
    """One hash."""

    name: str  # of a step, or a file within it
    status: Status  # "absent": the file is not there; "record": only the record of the step is here
    expected: str
    found: str = ""


def verify(lineage: Lineage, data: Path | None, progress: Callable[[int, int], None] | None = None) -> Iterator[Check]:
    """Check every step, the last one first.

    The manifests' own hashes were compared when the lineage was followed: a manifest with another hash is no ancestor.

    Args:
        lineage: of a model or run.
        data: a directory that holds the files that the steps read, however deep; None leaves them out.
        progress: told of bytes hashed, and of those that there are.

    Raises:
        NotFoundError: there is no directory `data`.
    """
    if data is not None and not data.is_dir():
        raise NotFoundError(f"There is no directory at {data}. Name the one that holds the files that were read.")
    total = sum(output.size_bytes for link in lineage.links if link.directory for output in link.manifest.outputs)
    done = 0
    for link in lineage.links:
        if link.directory is None:
            yield Check(link.name, "record", link.sha256, link.sha256)
        else:
            yield Check(link.name, "same", link.sha256, link.sha256)
            for output in link.manifest.outputs:
                yield _check(f"{link.name}/{output.path}", link.directory / output.path, output.sha256)
                done += output.size_bytes
                if progress is not None:
                    progress(done, total)
            if shards := shards_of(link.manifest):
                path = link.directory.resolve().parent.parent / shards.path
                yield _check(f"{link.name} read {shards.path}", path, shards.sha256)
        if data is not None:
            yield from _check_inputs(link, data)
    for parent in lineage.missing:
        yield Check(parent.name, "absent", parent.sha256)


def _check(name: str, path: Path, expected: str) -> Check:
    if not path.is_file():
        return Check(name, "absent", expected)
    found = sha256_file(path)
    return Check(name, "same" if found == expected else "differs", expected, found)


def _check_inputs(link: Ancestor, data: Path) -> Iterator[Check]:
    """The files that a step read, found by name; of several, the one with the hash."""
    for wanted in link.manifest.inputs:
        if wanted.kind != "file" or not _SHA256.fullmatch(wanted.sha256):
            continue
        name = f"{link.name} read {wanted.name}"
        checks = [_check(name, path, wanted.sha256) for path in sorted(data.rglob(Path(wanted.name).name))]
        same = next((check for check in checks if check.status == "same"), None)
        # A file of that name with another hash may be another file altogether.
        yield same or Check(name, "absent", wanted.sha256, checks[0].found if checks else "")
