"""Run directories and manifests: every artefact says by hash what it was made from.

A run lives in `<root>/<stage>/<name>/` with `config.toml`-like inputs, `metrics.jsonl`, its outputs and, written last
by rename, `manifest.json`. No manifest means not finished. A finished run is never overwritten, and nothing guesses
which run is "latest": names are given.
"""

import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bise import __version__
from bise.errors import InputError, NotFoundError

MANIFEST = "manifest.json"
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Input:
    """What a run was made from: a parent run by its manifest's hash, or a file by its own."""

    kind: str  # "run", "file" or "model"
    name: str
    sha256: str  # of the parent's manifest.json, or of the file


@dataclass(frozen=True)
class Output:
    """One file that a run wrote."""

    path: str  # relative to the run directory
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The record of a finished run or of a model in the store."""

    stage: str  # "curate", "tokenizer", "train", "tune" or "model"
    name: str
    config: dict[str, object] = field(default_factory=dict)  # the resolved recipe
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Output, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)  # counts, losses, licences: what a card quotes
    seconds: float = 0.0
    created: str = ""  # UTC, ISO 8601
    bise_version: str = __version__
    machine: str = ""


class RunDirectory:
    """A run in the making; `finish` makes it a run.

    Raises:
        InputError: the directory already holds a finished run.
    """

    def __init__(self, root: Path, stage: str, name: str) -> None:
        self.path = root / stage / name
        self.stage = stage
        self.name = name
        if (self.path / MANIFEST).exists():
            raise InputError(
                f"{self.path} already holds a finished run. Choose another name with --set name=…, or delete it."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()

    def log_metrics(self, metrics: Mapping[str, object]) -> None:
        """Append one line to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def finish(self, config: Mapping[str, object], inputs: Iterable[Input], facts: Mapping[str, object]) -> Manifest:
        """Hash every file in the directory and write the manifest, last and by rename."""
        manifest = Manifest(
            stage=self.stage,
            name=self.name,
            config=dict(config),
            inputs=tuple(inputs),
            outputs=hash_outputs(self.path),
            facts=dict(facts),
            seconds=round(time.monotonic() - self._started, 3),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} logical cores",
        )
        write_manifest(self.path, manifest)
        return manifest


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Write manifest.json so that it is either absent or whole, also after a power cut."""
    write_atomically(
        directory / MANIFEST, json.dumps(asdict(manifest), indent=2, ensure_ascii=False, default=str) + "\n"
    )


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that readers see the old content or the new, never a part."""
    temporary = path.with_name(path.name + ".part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def read_manifest(directory: Path) -> Manifest:
    """Read the manifest of a finished run or stored model.

    Raises:
        NotFoundError: there is no directory, or the run in it did not finish.
        InputError: the manifest is damaged.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        siblings = sorted(p.name for p in directory.parent.glob("*") if p.is_dir()) if directory.parent.is_dir() else []
        raise NotFoundError(f"There is no run at {directory}. Beside it: {', '.join(siblings) or 'nothing'}.")
    if not path.exists():
        raise NotFoundError(f"The run at {directory} has no {MANIFEST}: it did not finish. Run its command again.")
    try:
        return parse_manifest(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {error}. Run the command that made it again.") from None


def parse_manifest(text: str) -> Manifest:
    """The manifest that a manifest.json holds; ValueError, TypeError or AttributeError when it is none."""
    table: dict[str, Any] = json.loads(text)
    inputs = tuple(Input(**entry) for entry in table.pop("inputs", ()))
    outputs = tuple(Output(**entry) for entry in table.pop("outputs", ()))
    return Manifest(**table, inputs=inputs, outputs=outputs)


def run_input(directory: Path) -> Input:
    """Name a finished run as the input of another, by its manifest's hash."""
    manifest = read_manifest(directory)
    kind = "model" if manifest.stage == "model" else "run"
    return Input(kind=kind, name=f"{manifest.stage}/{manifest.name}", sha256=sha256_file(directory / MANIFEST))


def file_input(path: Path) -> Input:
    """Name a file as the input of a run, by its hash."""
    return Input(kind="file", name=path.name, sha256=sha256_file(path))


def hash_outputs(directory: Path) -> tuple[Output, ...]:
    """Size and hash of every file below a directory but the manifest, in order of path."""
    files = sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST)
    return tuple(
        Output(path=p.relative_to(directory).as_posix(), size_bytes=p.stat().st_size, sha256=sha256_file(p))
        for p in files
    )


def sha256_file(path: Path) -> str:
    """Hash a file without reading it into memory at once."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
