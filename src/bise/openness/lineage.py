"""Walk from a run to everything it was made from, each step checked by hash.

A run names its parents by the hash of their manifests; parents stand in the same runs directory, at `<root>/<stage>/
<name>`. A parent whose manifest no longer has that hash is an error: the record would tell another model's story.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bise.errors import InputError
from bise.runs import MANIFEST, Manifest, read_manifest, sha256_file


@dataclass(frozen=True)
class Ancestor:
    """A finished run with its record."""

    directory: Path
    manifest: Manifest
    sha256: str  # of its manifest.json


def ancestors(run: Path) -> tuple[Ancestor, ...]:
    """The run itself first, then its parents, each once, nearest first.

    Raises:
        NotFoundError: a parent is not there, or did not finish.
        InputError: a parent was changed after its child was made.
    """
    found: dict[str, Ancestor] = {}
    for ancestor in _walk(run, expected_sha256=None):
        found.setdefault(ancestor.sha256, ancestor)
    return tuple(found.values())


def _walk(directory: Path, expected_sha256: str | None) -> Iterator[Ancestor]:
    manifest = read_manifest(directory)
    sha256 = sha256_file(directory / MANIFEST)
    if expected_sha256 not in (None, sha256):
        raise InputError(
            f"{directory} was changed or made again since it was used: its manifest has the hash {sha256[:12]}…, "
            f"but {expected_sha256[:12] if expected_sha256 else ''}… was used. Run the later stages again."
        )
    yield Ancestor(directory, manifest, sha256)
    root = directory.resolve().parent.parent
    for parent in manifest.inputs:
        if parent.kind == "run":
            yield from _walk(root / parent.name, parent.sha256)
