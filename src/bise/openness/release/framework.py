"""How open a release is by the Model Openness Framework (White et al. 2024, arXiv 2403.13784): its 17 components, its class.

Self-assessed. The file has the shape that the framework's own tool reads; JSON is YAML.
"""

from dataclasses import dataclass
from typing import Any

from bise.openness.release.record import Record

_BISE = "Apache-2.0"  # the licence of this program; what it writes about a model is under the model's
_ABSENT = "Component not included"
_VERSION, _DATE = "1.0", "2024-12-15"  # of the framework
# name -> what it is, in the order of the framework's tool
COMPONENTS = {
    "Model architecture": "Code of the model's architecture",
    "Data preprocessing code": "Code that cleans and selects data",
    "Training code": "Code that trains the model",
    "Inference code": "Code that runs the model",
    "Evaluation code": "Code that evaluates the model",
    "Supporting libraries and tools": "Libraries and tools that were used",
    "Model parameters (Final)": "Weights of the model",
    "Model parameters (Intermediate)": "Weights during training",
    "Datasets": "Texts for training, validation and testing",
    "Evaluation data": "Data for evaluating the model",
    "Model metadata": "Settings, records and logs of the training",
    "Sample model outputs": "Examples of what the model answers",
    "Model card": "What the model is, measures, uses, limits",
    "Data card": "Sources, selection and form of the data",
    "Technical report": "How the model was made and how to use it",
    "Research paper": "The model in a paper",
    "Evaluation results": "Results of evaluating the model",
}
_CLASS_3 = (
    "Model architecture", "Model parameters (Final)", "Technical report", "Evaluation results", "Model card", "Data card",
)  # fmt: skip
_CLASS_2 = (
    "Training code", "Inference code", "Evaluation code", "Evaluation data", "Supporting libraries and tools",
)  # fmt: skip
_CLASS_1 = (
    "Research paper",
    "Datasets",
    "Data preprocessing code",
    "Model parameters (Intermediate)",
    "Model metadata",
)
CLASSES = (("III Open Model", _CLASS_3), ("II Open Tooling", _CLASS_2), ("I Open Science", _CLASS_1))


@dataclass(frozen=True)
class Openness:
    """What of the framework is there."""

    present: dict[str, tuple[str, str]]  # component -> licence, where it is
    reached: str  # the best class; "" when not even III is
    next_class: str  # "" when there is none above
    missing: tuple[str, ...]  # for the next class


def assess(record: Record) -> Openness:
    """Find the components of a release, its class, and what the next one lacks."""
    present, reached = _present(record), ""
    for name, wanted in CLASSES:
        missing = tuple(component for component in wanted if component not in present)
        if missing:
            return Openness(present, reached, name, missing)
        reached = name
    return Openness(present, reached, "", ())


def _present(record: Record) -> dict[str, tuple[str, str]]:
    about, found = (
        record.about,
        {"Model parameters (Final)": (record.licence, "."), "Model card": (record.licence, "README.md")},
    )
    if record.trained:  # by this very program
        code = (
            "Model architecture",
            "Training code",
            "Inference code",
            "Supporting libraries and tools",
            "Evaluation code",
        )
        found |= dict.fromkeys(code, (_BISE, "bise"))
        found["Model metadata"] = (record.licence, "lineage.json")
    if record.corpora:
        found |= {"Data preprocessing code": (_BISE, "bise"), "Data card": (record.licence, "croissant")}
    if record.held_out:
        found["Evaluation results"] = (record.licence, "README.md")
    elsewhere = {
        "Technical report": about.technical_report,
        "Research paper": about.research_paper,
        "Datasets": about.dataset,
        "Evaluation data": about.evaluation_data,
        "Model parameters (Intermediate)": about.intermediate_weights,
        "Sample model outputs": about.sample_outputs,
    }
    return found | {name: ("", place) for name, place in elsewhere.items() if place}


def framework_file(record: Record, openness: Openness) -> dict[str, Any]:
    """What the framework's tool reads."""
    components = []
    for name, description in COMPONENTS.items():
        licence, place = openness.present.get(name, (_ABSENT, ""))
        components.append(
            {
                "name": name,
                "description": description,
                "location": place,
                "license_name": licence or "License not specified",
                "license_path": "",
            }
        )
    tuned = bool(record.lineage.stage("tune"))
    return {
        "framework": {"name": "Model Openness Framework", "version": _VERSION, "date": _DATE},
        "release": {
            "name": record.name,
            "version": record.version,
            "date": record.model.manifest.created[:10],
            "type": "language",
            "architecture": "transformer decoder",
            "treatment": "chat fine-tuned" if tuned else "pre-trained",
            "origin": record.lineage.links[-1].name,
            "producer": record.about.provider,
            "contact": record.about.contact,
            "components": components,
        },
    }
