"""The steps by which something was made, for people and programs: what, when, by which code, under which licence, at what
cost, and the command that does it again."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from bise.openness.lineage import Ancestor, Lineage
from bise.runs import Input, Manifest, Output

RECIPES = Path("recipes")  # where the commands that are shown look for the recipes
_STORED = ("model", "adapter")
_MAKERS = {"curate": "bise curate", "tokenizer": "bise tokenizer train", "train": "bise train", "tune": "bise tune"}


@dataclass(frozen=True)
class Source:
    """Texts that a step read."""

    name: str
    licence: str
    origin: str  # repository and commit
    number: int
    kind: str  # of what: "documents" or "conversations"
    size_bytes: int | None


@dataclass(frozen=True)
class TokenShards:
    """The tokens that a training run read, made of its corpus by its tokenizer."""

    path: str  # relative to the runs directory
    num_tokens: int
    num_documents: int
    sha256: str


@dataclass(frozen=True)
class Step:
    """One run, or a model or adapter of the store."""

    name: str  # stage/name
    stage: str
    sha256: str  # of its manifest
    here: bool  # its files are on this machine, not only its record
    created: str  # UTC, ISO 8601
    bise_version: str
    source_sha256: str  # of the training code; "" when the record does not say
    licence: str
    machine: str
    seconds: float
    energy_kwh: float | None
    cost: str
    command: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    sources: tuple[Source, ...]
    shards: TokenShards | None


def steps_of(lineage: Lineage) -> tuple[Step, ...]:
    """Every step that is known, the last one first."""
    return tuple(_step(link) for link in lineage.links)


def _step(link: Ancestor) -> Step:
    manifest = link.manifest
    facts = {} if manifest.stage in _STORED else manifest.facts  # these repeat the facts of the run they come from
    energy = facts.get("energy_kwh")
    return Step(
        name=link.name,
        stage=manifest.stage,
        sha256=link.sha256,
        here=link.directory is not None,
        created=manifest.created,
        bise_version=manifest.bise_version,
        source_sha256=str(_table(facts.get("software")).get("source_sha256", "")),
        licence=str(manifest.config.get("licence") or manifest.facts.get("licence") or ""),
        machine=str(_table(facts.get("hardware")).get("processor") or manifest.machine),
        seconds=float(str(facts.get("training_seconds", manifest.seconds))),
        energy_kwh=energy if isinstance(energy, float) else None,
        cost=str(facts.get("cost", "")),
        command=command_of(manifest),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        sources=sources_of(manifest),
        shards=shards_of(manifest),
    )


def shards_of(manifest: Manifest) -> TokenShards | None:
    """The shards that a training run read; None when its record does not say."""
    found = _table(manifest.facts.get("shards"))
    return TokenShards(**found) if manifest.stage == "train" and found else None


def sources_of(manifest: Manifest) -> tuple[Source, ...]:
    """The texts that a run read; a model in the store repeats those of its run, and has none of its own."""
    if manifest.stage in _STORED:
        return ()
    found = []
    for name, entry in _table(manifest.facts.get("sources")).items():
        kind = "documents" if "documents" in entry else "conversations"
        commit = f" at {entry['commit'][:12]}" if entry.get("commit") else ""
        origin = f"{entry.get('repository') or ''}{commit}"
        found.append(
            Source(name, str(entry.get("licence") or ""), origin, int(entry.get(kind, 0)), kind, entry.get("bytes"))
        )
    return tuple(found)


def command_of(manifest: Manifest) -> str:
    """What to type to make it again; the recipes are those that `write_recipes` writes."""
    if maker := _MAKERS.get(manifest.stage):
        command = f"{maker} {RECIPES / recipe_name(manifest)}"
        has_sources = manifest.stage == "curate" or _table(manifest.config.get("sources")).get("list")
        return f"{command} --set sources.root=DIR" if has_sources else command
    parents = [parent for parent in manifest.inputs if parent.kind != "file"]
    source = f"runs/{parents[0].name}" if parents else str(manifest.config.get("source", ""))
    bits = manifest.config.get("bits")
    return f"bise pull {shlex.quote(source)} --name {manifest.name}" + (f" --bits {bits}" if bits else "")


def recipe_name(manifest: Manifest) -> str:
    """The file of a run's recipe."""
    return f"{manifest.stage}-{manifest.name}.toml"


def write_recipes(lineage: Lineage, directory: Path) -> list[Path]:
    """Write the recipe of every run, as it was with all its defaults; returns the files."""
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for link in lineage.stage(*_MAKERS):
        path = directory / recipe_name(link.manifest)
        head = f"# The recipe of {link.name}, manifest {link.sha256}, made with Bise {link.manifest.bise_version}.\n"
        path.write_text(head + tomli_w.dumps(_without_nothing(link.manifest.config)), encoding="utf-8")
        written.append(path)
    return written


def _without_nothing(value: Any) -> Any:
    """TOML has no null: what is None is the default, and left out."""
    if isinstance(value, dict):
        return {key: _without_nothing(each) for key, each in value.items() if each is not None}
    return [_without_nothing(each) for each in value] if isinstance(value, list) else value


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
