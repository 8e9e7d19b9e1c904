"""The bill of materials in CycloneDX 1.6, with the model card of its ML-BOM.

It is written as plain JSON: the object model of cyclonedx-python-lib drops modelCard when it writes what it has read.
"""

import uuid
from collections.abc import Sequence
from typing import Any

from bise.openness.release.licences import spdx_id
from bise.openness.release.record import Record, table
from bise.openness.steps import Source
from bise.runs import Output

_MODEL = "model"
_NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 4122's for addresses


def bill_of_materials(record: Record, files: Sequence[Output]) -> dict[str, Any]:
    """The document as a table.

    Args:
        record: of the model.
        files: of the release that hold the model: weights, tokenizer.
    """
    data, libraries = [_source(one) for one in record.sources], _libraries(record)
    parts = [*data, *libraries, *(_file(one) for one in files)]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'sha256:{record.model.sha256}')}",
        "version": 1,
        "metadata": {
            "timestamp": record.model.manifest.created,
            "tools": {
                "components": [
                    {"type": "application", "name": "bise", "version": record.model.manifest.bise_version},
                ]
            },
            "component": _model(record),
        },
        "components": parts,
        "dependencies": [{"ref": _MODEL, "dependsOn": [part["bom-ref"] for part in parts]}],
    }


def _model(record: Record) -> dict[str, Any]:
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": record.name,
        "version": record.version,
        "modelCard": _card(record),
        "properties": [{"name": "bise:manifest:sha256", "value": record.model.sha256}],
    }
    component |= {"description": record.description} if record.description else {}
    component |= {"licenses": [_licence(record.licence)]} if record.licence else {}
    component |= {"manufacturer": {"name": record.about.provider}} if record.about.provider else {}
    ancestors = [{"type": "machine-learning-model", "name": run.name, "version": run.sha256} for run in record.trained]
    return component | ({"pedigree": {"ancestors": ancestors}} if ancestors else {})


def _card(record: Record) -> dict[str, Any]:
    about = record.about
    metrics = [
        {"type": "bits per byte", "value": f"{value:.4f}", "slice": kind} for kind, value in record.held_out.items()
    ]
    considerations: dict[str, Any] = {}
    considerations |= {"useCases": [about.intended_use]} if about.intended_use else {}
    considerations |= {"technicalLimitations": [about.limitations]} if about.limitations else {}
    considerations |= {"environmentalConsiderations": _energy(record)} if record.total("energy_kwh") else {}
    card: dict[str, Any] = {
        "modelParameters": {
            "approach": {"type": "self-supervised"},
            "task": "text-generation",
            "architectureFamily": "transformer decoder",
            "modelArchitecture": "Mistral",
            "datasets": [{"ref": _reference(source)} for source in record.sources],
            "inputs": [{"format": "text"}],
            "outputs": [{"format": "text"}],
        },
        "properties": [
            {"name": "parameters", "value": str(record.spec.num_parameters())},
            {"name": "context_length", "value": str(record.spec.context_length)},
        ],
    }
    card |= {"quantitativeAnalysis": {"performanceMetrics": metrics}} if metrics else {}
    return card | ({"considerations": considerations} if considerations else {})


def _energy(record: Record) -> dict[str, Any]:
    provider = {
        "organization": {"name": record.about.provider or "not stated"},
        "energySource": "unknown",
        "energyProvided": {"value": record.total("energy_kwh"), "unit": "kWh"},
    }
    consumed = {
        "activity": "training",
        "energyProviders": [provider],
        "activityEnergyCost": {"value": record.total("energy_kwh"), "unit": "kWh"},
    }
    return {"energyConsumptions": [consumed]}


def _reference(source: Source) -> str:
    return f"data:{source.kind}:{source.name}"


def _source(source: Source) -> dict[str, Any]:
    properties = [{"name": source.kind, "value": str(source.number)}]
    properties += [{"name": "bytes", "value": str(source.size_bytes)}] if source.size_bytes is not None else []
    component: dict[str, Any] = {
        "type": "data",
        "bom-ref": _reference(source),
        "name": source.name,
        "data": [{"type": "dataset", "name": source.name, "contents": {"properties": properties}}],
    }
    component |= {"licenses": [_licence(source.licence)]} if source.licence else {}
    address, _, commit = source.origin.partition(" at ")
    component |= {"externalReferences": [{"type": "vcs", "url": address}]} if address else {}
    return component | ({"version": commit} if commit else {})


def _libraries(record: Record) -> list[dict[str, Any]]:
    """Programs that the training runs name; each once, in all their versions."""
    found = {
        (name, str(version))
        for run in record.trained
        for name, version in table(run.manifest.facts.get("software")).items()
        if name != "source_sha256"
    }
    return [
        {
            "type": "platform" if name == "python" else "library",
            "bom-ref": f"software:{name}@{version}",
            "name": name,
            "version": version,
        }
        for name, version in sorted(found)
    ]


def _file(output: Output) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{output.path}",
        "name": output.path,
        "hashes": [{"alg": "SHA-256", "content": output.sha256}],
    }


def _licence(text: str) -> dict[str, Any]:
    found = spdx_id(text)
    return {"license": {"id": found} if found else {"name": text}}
