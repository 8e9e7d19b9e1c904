"""A directory that is ready to publish: weights, cards, disclosure forms, bill of materials, recipes, checksums.

It is absent or whole. The same model and answers give the same bytes.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.openness.lineage import RECORD_FILE, lineage_of, lineage_record
from bise.openness.release.bill_of_materials import bill_of_materials
from bise.openness.release.croissant import croissant
from bise.openness.release.disclosure import model_documentation_form, training_content_summary
from bise.openness.release.framework import Openness, assess, framework_file
from bise.openness.release.hub_card import hub_card
from bise.openness.release.licences import Finding, compare
from bise.openness.release.markdown import ByHand, rows
from bise.openness.release.record import About, Record
from bise.openness.steps import write_recipes
from bise.runs import hash_outputs, sha256_file
from bise.weights.files import open_weights
from bise.weights.formats.export import Companions, export_model
from bise.weights.formats.foreign import tokenizer_files

CHECKSUMS = "SHA256SUMS"
Progress = Callable[[int, int], None]
_NOTICE = "Nothing here is legal advice.\n\n"


@dataclass(frozen=True)
class Release:
    """What was written."""

    files: tuple[Path, ...]
    openness: Openness
    findings: tuple[Finding, ...]
    num_by_hand: int  # fields that a person must fill in


def release(model: Path, runs: Path, target: Path, about: About, progress: Progress | None = None) -> Release:
    """Write the release of a model to a new directory.

    Args:
        model: its directory.
        runs: where the runs that made it are, if they are here.
        target: must not be there yet.
        about: what only people know.
        progress: told of rows of weights done.

    Raises:
        NotFoundError: the model has no manifest.
        InputError: the directory is there, or a record is damaged.
    """
    lineage = lineage_of(model, runs)
    weights = open_weights(model)
    record = Record(lineage.links[0].manifest.name, weights.spec, lineage, about)
    companions = Companions(record.name, tuple(tokenizer_files(model)))
    if target.exists():
        raise InputError(f"{target} is there already. Name a directory that is not, or delete it.")
    part = target.with_name(target.name + ".unfinished")
    shutil.rmtree(part, ignore_errors=True)
    try:
        export_model(weights, part, "hf", companions, progress=progress)
        written = _write_documents(record, model, part)
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    files = tuple(sorted(path for path in target.rglob("*") if path.is_file()))
    return Release(files, *written)


def _write_documents(record: Record, model: Path, directory: Path) -> tuple[Openness, tuple[Finding, ...], int]:
    """Everything beside the weights; the checksums last."""
    files = hash_outputs(directory)
    openness, findings = assess(record), tuple(compare(record.sources, record.licence))
    texts = {
        "README.md": hub_card(record),
        "training-content-summary.md": training_content_summary(record),
        "model-documentation.md": model_documentation_form(record),
        "openness.md": _openness(openness, findings, record),
        RECORD_FILE: lineage_record(model),
    }
    tables: dict[str, Any] = {
        "bom.cdx.json": bill_of_materials(record, files),
        "mof.yml": framework_file(record, openness),
    }
    tables |= {f"croissant-{one.manifest.name}.json": croissant(one, record.about) for one in record.corpora}
    texts |= {name: json.dumps(table, indent=2, ensure_ascii=False) + "\n" for name, table in tables.items()}
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    write_recipes(record.lineage, directory / "recipes")
    _write_checksums(directory)
    num_by_hand = sum(text.count("[to be filled in by a person") for text in texts.values())
    return openness, findings, num_by_hand + texts["README.md"].count("[More Information Needed]")


def _openness(openness: Openness, findings: tuple[Finding, ...], record: Record) -> str:
    present = rows(
        ("Component", "Licence", "Where"), ((k, v[0] or "not stated", v[1]) for k, v in openness.present.items())
    )
    next_class = (
        f"Missing for class {openness.next_class}: {', '.join(openness.missing)}." if openness.next_class else ""
    )
    licences = rows(
        ("Source", "Its licence", "Kind", "Verdict"),
        ((one.source, one.licence, one.kind or "not recognised", one.verdict) for one in findings),
    )
    return (
        "# Openness\n\n## Model Openness Framework, self-assessed\n\n"
        f"Class reached: {openness.reached or 'none'}. {next_class}\n\n{present}\n\n"
        f"## Licences of the sources\n\nThe licence of the weights: {record.licence or ByHand('licence')}. {_NOTICE}{licences}\n"
    )


def _write_checksums(directory: Path) -> None:
    """What `sha256sum -c SHA256SUMS` reads."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    lines = [f"{sha256_file(path)}  {path.relative_to(directory).as_posix()}\n" for path in files]
    (directory / CHECKSUMS).write_text("".join(lines), encoding="utf-8")
