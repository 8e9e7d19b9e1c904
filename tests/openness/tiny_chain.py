"""Runs and a stored model as the stages leave them, from a curated corpus to chat weights, without any training."""

from pathlib import Path

from bise.openness.card import model_card
from bise.openness.lineage import RECORD_FILE, lineage_record
from bise.runs import RunDirectory, file_input, run_input, sha256_file
from bise.weights.pull import Source, pull
from bise.weights.store import CARD_FILE
from tests.random_models import TINY, write_model

TALES = {
    "documents": 12,
    "bytes": 3_400,
    "dropped": 2,
    "licence": "CC BY 4.0 (LICENSE)",
    "repository": "https://example.org/tales",
    "commit": "0123456789abcdef",
}
LAWS = {"documents": 3, "bytes": 900, "dropped": 0, "licence": "CC0 1.0", "repository": "", "commit": ""}
TALK = {
    "conversations": 40,
    "held_out": 2,
    "too_long": 1,
    "repeats": 1.0,
    "licence": "MIT",
    "repository": "",
    "commit": "",
}


def trained(num_tokens: int) -> dict[str, object]:
    """Facts of a train or tune run."""
    return {
        "parameters": TINY.num_parameters(),
        "steps": 74,
        "tokens": num_tokens,
        "loss": 3.5,
        "held_out_before": {"en": {"loss": 6.9, "bits_per_byte": 4.0}, "fr": {"loss": 6.9, "bits_per_byte": 4.2}},
        "held_out": {"en": {"loss": 2.7, "bits_per_byte": 1.625}, "fr": {"loss": 2.9, "bits_per_byte": 1.75}},
        "training_seconds": 3600.0,
        "flops": 111_736_258_560,
        "flops_formula": "tokens * (6 * matrix weights)",
        "energy_kwh": 0.125,
        "energy_method": "an estimate: 10 W a thread",
        "cost": "0.04 EUR",
        "precision": "bf16",
        "threads": 2,
        "device": "cpu",
        "hardware": {"processor": "A processor", "cores": 2, "memory_gib": 23.1},
        "software": {"bise": "0.1.0", "source_sha256": "c" * 64, "torch": "2.13.0", "python": "3.11.7"},
    }


def make_chain(root: Path) -> Path:
    """Make `curate`, `tokenizer`, `train` and `tune` runs called "tiny" below `root`; returns the last."""
    raw = root / "raw" / "tales.jsonl"
    raw.parent.mkdir(parents=True)
    raw.write_text('{"text": "Once."}\n', encoding="utf-8")
    curated = RunDirectory(root, "curate", "tiny")
    (curated.path / "documents").mkdir()
    (curated.path / "documents/00000-tales.parquet").write_bytes(b"PAR1 not really")
    facts = {
        "read": 20,
        "kept": 15,
        "kept_bytes": 4_300,
        "dropped": {"exact_duplicate": 2, "min_words": 3},
        "languages": {"en": {"documents": 10, "bytes": 3_000}, "fr": {"documents": 5, "bytes": 1_300}},
        "sources": {"tales": TALES, "laws": LAWS},
    }
    recipe = {"name": "tiny", "seed": 0, "personal": {"mask": ["email"]}, "duplicates": {"exact": True, "near": True}}
    curated.finish(recipe, [file_input(raw)], facts)
    vocabulary = RunDirectory(root, "tokenizer", "tiny")
    vocabulary.finish({"name": "tiny", "vocab_size": 97}, [run_input(curated.path)], {"vocab_size": 97})
    tokens = root / "shards/0123/train/tokens.bin"
    tokens.parent.mkdir(parents=True)
    tokens.write_bytes(b"\1\0\2\0")
    shards = {
        "path": "shards/0123/train/tokens.bin",
        "num_tokens": 2,
        "num_documents": 1,
        "sha256": sha256_file(tokens),
    }
    base = RunDirectory(root, "train", "tiny")
    write_model(base.path / "model", TINY)
    base.finish(
        {"name": "tiny", "base": None},
        [run_input(curated.path), run_input(vocabulary.path)],
        trained(150_000) | {"shards": shards},
    )
    tuned = RunDirectory(root, "tune", "tiny")
    model = write_model(tuned.path / "model", TINY)
    (model / "tekken.json").write_text("{}", encoding="utf-8")
    config: dict[str, object] = {"name": "tiny", "base": "runs/train/tiny", "sources": {"list": [{"name": "talk"}]}}
    config |= {"description": "A tiny model.", "licence": "Apache-2.0"}
    tuned.finish(config, [run_input(base.path)], trained(30_000) | {"sources": {"talk": TALK}})
    return tuned.path


def store_model(run: Path, name: str) -> Path:
    """Take the chain's model into the store, as `bise pull` does."""
    companions = {CARD_FILE: model_card(run, name, "8"), RECORD_FILE: lineage_record(run)}
    return pull(Source(run), name, "8", companions).path
