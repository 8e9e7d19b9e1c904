"""The model card: what a model is, what it was made from and under which licences, read from the manifests alone.

The shape follows Mitchell et al. 2019 (arXiv 1810.03993). Every figure is copied from a record; what no record holds
is not said.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bise.openness.lineage import Ancestor, ancestors
from bise.runs import Manifest
from bise.weights.spec import ModelSpec, read_spec

Facts = Mapping[str, Any]


def model_card(run: Path, name: str, bits: str | None) -> str:
    """The Markdown card of the model that a train or tune run made.

    Args:
        run: a finished run whose ancestors stand in the same runs directory.
        name: what the model is called in the store.
        bits: the precision of the stored weights; None when the run's own was kept.

    Raises:
        NotFoundError: an ancestor is missing.
        InputError: an ancestor was changed since.
    """
    line = ancestors(run)
    sections = [
        f"# {name}\n",
        _about(line),
        _shape(read_spec(run / "model"), bits),
        *(_training(ancestor.manifest) for ancestor in line if ancestor.manifest.stage in ("tune", "train")),
        _sources(line),
        _lineage(line),
    ]
    return "\n".join(section for section in sections if section)


def _about(line: Sequence[Ancestor]) -> str:
    config = line[0].manifest.config
    text = f"{config['description']}\n\n" if config.get("description") else ""
    return text + (f"Licence of the weights: {config['licence']}.\n" if config.get("licence") else "")


def _shape(spec: ModelSpec, bits: str | None) -> str:
    rows = [
        ("Architecture", "Mistral (decoder, grouped-query attention, SwiGLU, RoPE)"),
        ("Parameters", f"{spec.num_parameters():,}"),
        ("Layers × width", f"{spec.num_layers} × {spec.hidden_size}, feed-forward {spec.ffn_size}"),
        ("Heads", f"{spec.num_heads} of {spec.head_dim}, {spec.num_kv_heads} for keys and values"),
        ("Vocabulary", f"{spec.vocab_size:,} tokens" + (", embeddings tied" if spec.tied_embeddings else "")),
        ("Context", f"{spec.context_length:,} tokens"),
        ("Stored weights", f"{bits} bits" if bits else "as trained"),
    ]
    return "## Shape\n\n" + _table(("", ""), rows)


def _training(manifest: Manifest) -> str:
    facts = manifest.facts
    title = {"train": "Training", "tune": "Tuning"}[manifest.stage]
    rows = [
        ("Tokens that carried loss", f"{facts['tokens']:,}"),
        ("Steps", f"{facts['steps']:,}"),
        ("Time", f"{float(str(facts['training_seconds'])) / 60:.1f} minutes on {manifest.machine}"),
        ("Precision, threads", f"{facts['precision']}, {facts['threads']}"),
        ("Loss at the end", f"{facts['loss']} {facts.get('loss_unit', 'nats per token')}"),
        ("Date", manifest.created[:10]),
    ]
    return f"## {title}\n\n" + _table(("", ""), rows) + "\n" + _held_out(facts)


def _held_out(facts: Facts) -> str:
    before, after = facts["held_out_before"], facts["held_out"]
    texts = [
        (kind, f"{before[kind]['bits_per_byte']:.3f}", f"{one['bits_per_byte']:.3f}", f"{one['loss']:.3f}")
        for kind, one in after.items()
        if "bits_per_byte" in one
    ]
    heading = ("Held-out text", "bits per byte before", "bits per byte after", "nats per token after")
    pairs = [
        (kind.removeprefix("pairs "), f"{one['accuracy']:.3f}", f"{one['loss']:.3f}", f"{one['margin']:.3f}")
        for kind, one in after.items()
        if "accuracy" in one
    ]
    pair_heading = ("Held-out preferences", "in right order", "nats per pair", "margin")
    warnings = "".join(f"\n**Warning.** {sentence}\n" for sentence in facts.get("warnings", ()))
    return _table(heading, texts) + ("\n" + _table(pair_heading, pairs) if pairs else "") + warnings


def _sources(line: Sequence[Ancestor]) -> str:
    parts = []
    for ancestor in line:
        sources: Facts = ancestor.manifest.facts.get("sources", {})  # type: ignore[assignment]
        if sources:
            parts.append(f"### {ancestor.manifest.stage}/{ancestor.manifest.name}\n\n{_source_table(sources)}")
    return "## Data\n\nEvery source with its licence, as its owner states it.\n\n" + "\n".join(parts) if parts else ""


def _source_table(sources: Facts) -> str:
    rows = []
    for name, source in sources.items():
        kind = "documents" if "documents" in source else "conversations"
        size = f"{source['bytes'] / 1e6:.1f} MB" if "bytes" in source else ""
        rows.append((name, source["licence"], _origin(source), f"{source.get(kind, 0):,} {kind}", size))
    return _table(("Source", "Licence", "Origin", "Number", "Size"), rows)


def _origin(source: Facts) -> str:
    commit = source.get("commit", "")
    return f"{source.get('repository', '')} {f'at {commit[:12]}' if commit else ''}".strip()


def _lineage(line: Sequence[Ancestor]) -> str:
    rows = [(f"{a.manifest.stage}/{a.manifest.name}", f"`{a.sha256}`", a.manifest.bise_version) for a in line]
    return "## Lineage\n\nThe hash of each run's manifest.\n\n" + _table(("Run", "SHA-256", "Bise"), rows)


def _table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines) + "\n"
