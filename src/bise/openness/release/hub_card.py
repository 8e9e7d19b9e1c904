"""The model card in the form of the Hugging Face hub: its own template, with what is not known left as it marks it."""

from huggingface_hub import ModelCard, ModelCardData

from bise.openness.release.licences import compare, spdx_id
from bise.openness.release.markdown import ByHand, rows
from bise.openness.release.record import Record, table
from bise.openness.steps import steps_of


def hub_card(record: Record) -> str:
    """README.md of the release."""
    about = record.about
    licence = spdx_id(record.licence)
    data = ModelCardData(
        license=licence.lower() if licence else "other",
        license_name=None if licence else record.licence or None,
        language=[lang for lang in record.languages if lang] or None,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["bise"],
        model_name=record.name,
    )
    values = {
        "model_id": record.name,
        "model_description": record.description,
        "developers": about.provider,
        "shared_by": about.contact,
        "model_type": "transformer decoder, Mistral architecture",
        "language": ", ".join(lang for lang in record.languages if lang),
        "license": record.licence,
        "repo": about.repository,
        "paper": about.research_paper,
        "direct_use": about.intended_use,
        "out_of_scope_use": about.out_of_scope_use,
        "bias_risks_limitations": _limitations(record),
        "get_started_code": f'```sh\nbise pull . --name {record.name}\nbise ask -m {record.name} "Hello!"\n```',
        "training_data": _training_data(record),
        "preprocessing": "The recipes in `recipes/` are those of curation, with every default; see `croissant-*.json`.",
        "training_regime": ", ".join(dict.fromkeys(str(r.manifest.facts.get("precision")) for r in record.trained)),
        "speeds_sizes_times": _runs(record),
        "testing_data": "Documents and conversations that were held out from training." if record.held_out else "",
        "testing_metrics": "Bits per byte: how surprised the model is by a byte of text. Less is better.",
        "results": rows(("Held-out text", "bits per byte"), ((k, f"{v:.3f}") for k, v in record.held_out.items())),
        "hardware_type": _hardware(record),
        "hours_used": _hours(record),
        "model_specs": _shape(record),
        "software": f"Bise {record.model.manifest.bise_version}; the libraries are in `bom.cdx.json`",
        "model_card_contact": about.contact,
        "more_information": _lineage(record),
    }
    return str(ModelCard.from_template(data, **{name: value for name, value in values.items() if value}))


def _limitations(record: Record) -> str:
    warnings = [str(one) for run in record.trained for one in run.manifest.facts.get("warnings", ())]  # type: ignore[attr-defined]
    return "\n\n".join([*([record.about.limitations] if record.about.limitations else []), *warnings])


def _training_data(record: Record) -> str:
    findings = compare(record.sources, record.licence)
    entries = (
        (one.name, one.licence, one.origin or ByHand("origin"), f"{one.number:,} {one.kind}", finding.verdict)
        for one, finding in zip(record.sources, findings, strict=True)
    )
    return rows(("Source", "Licence", "Origin", "Number", "Beside the licence of the weights"), entries)


def _runs(record: Record) -> str:
    entries = (
        (
            run.name,
            run.manifest.created[:10],
            f"{run.manifest.facts.get('tokens', 0):,}",
            f"{float(str(run.manifest.facts.get('training_seconds', 0))) / 3600:.2f}",
            f"{run.manifest.facts.get('loss')}",
        )
        for run in record.trained
    )
    return rows(("Run", "Date", "Tokens that carried loss", "Hours", "Loss at the end, nats a token"), entries)


def _hardware(record: Record) -> str:
    found = (table(run.manifest.facts.get("hardware")) for run in record.trained)
    return "; ".join(dict.fromkeys(f"{one['processor']}, {one['cores']} cores" for one in found if one))


def _hours(record: Record) -> str:
    seconds = record.total("training_seconds")
    return "" if seconds is None else f"{seconds / 3600:.2f}"


def _shape(record: Record) -> str:
    spec = record.spec
    return (
        f"{spec.num_parameters():,} parameters; {spec.num_layers} layers of width {spec.hidden_size}; {spec.num_heads} heads, "
        f"{spec.num_kv_heads} for keys and values; vocabulary {spec.vocab_size:,}; context {spec.context_length:,} tokens."
    )


def _lineage(record: Record) -> str:
    entries = ((step.name, f"`{step.sha256}`", f"`{step.command}`") for step in steps_of(record.lineage))
    return rows(("Step", "SHA-256 of its manifest", "Again"), entries)
