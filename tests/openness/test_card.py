"""A card repeats what the records say, and only that."""

from pathlib import Path

import pytest

from bise.openness.card import model_card
from bise.runs import RunDirectory, run_input
from bise.weights.spec import ModelSpec, write_spec

SPEC = ModelSpec(8192, 256, 6, 4, 2, 64, 704, 512, tied_embeddings=True)
SOURCE = {"licence": "CC0 1.0 | public domain", "repository": "https://example.org/a", "commit": "0123456789abcdef"}

FRENCH_BEFORE = {"loss": 9.0, "bits_per_byte": 4.25}
FRENCH_AFTER = {"loss": 4.5, "bits_per_byte": 1.875}


def trained_facts(loss: float) -> dict[str, object]:
    return {
        "steps": 700,
        "tokens": 1_234_567,
        "loss": loss,
        "held_out_before": {"fr": FRENCH_BEFORE},
        "held_out": {"fr": FRENCH_AFTER},
        "training_seconds": 600.0,
        "precision": "f32",
        "threads": 2,
    }


@pytest.fixture
def tuned(tmp_path: Path) -> Path:
    curated = RunDirectory(tmp_path, "curate", "a")
    curated.finish({}, [], {"sources": {"novels": {**SOURCE, "documents": 12, "bytes": 3_400_000}}})
    trained = RunDirectory(tmp_path, "train", "a")
    trained.finish({}, [run_input(curated.path)], trained_facts(4.321))
    tuned = RunDirectory(tmp_path, "tune", "a")
    config = {"description": "A demonstration.", "licence": "Apache-2.0"}
    facts = trained_facts(1.987) | {
        "sources": {"talk": {**SOURCE, "conversations": 99}},
        "held_out_before": {"fr": FRENCH_BEFORE, "pairs fr": {"loss": 0.693, "accuracy": 0.0, "margin": 0.0}},
        "held_out": {"fr": FRENCH_AFTER, "pairs fr": {"loss": 0.251, "accuracy": 0.875, "margin": 1.5}},
        "warnings": ["General text (fr) got worse: 1.875 bits per byte before, 2.125 after."],
    }
    for run in (trained, tuned):
        (run.path / "model").mkdir()
        write_spec(run.path / "model", SPEC)
    tuned.finish(config, [run_input(trained.path)], facts)
    return tuned.path


def test_sources_licences_tokens_losses_and_time_are_told(tuned: Path) -> None:
    card = model_card(tuned, "a-demo", "8")
    for words in (
        "# a-demo",
        "A demonstration.",
        "Apache-2.0",
        f"{SPEC.num_parameters():,}",
        "8 bits",
        "1,234,567",
        "10.0 minutes",
    ):
        assert words in card
    for words in ("4.321", "1.987", "1.875", "4.250", "12 documents", "3.4 MB", "99 conversations", "0123456789ab"):
        assert words in card


def test_preferences_and_warnings_of_a_tune_are_told(tuned: Path) -> None:
    card = model_card(tuned, "a", None)
    assert "| fr | 0.875 | 0.251 | 1.500 |" in card
    assert "**Warning.** General text (fr) got worse: 1.875 bits per byte before, 2.125 after." in card


def test_a_table_stays_a_table_when_a_licence_holds_a_bar(tuned: Path) -> None:
    row = next(line for line in model_card(tuned, "a", None).splitlines() if line.startswith("| novels"))
    assert row.replace("\\|", "").count("|") == 6


def test_an_untuned_model_has_a_card_without_tuning(tuned: Path) -> None:
    card = model_card(tuned.parents[1] / "train" / "a", "a", None)
    assert "## Training" in card
    assert "## Tuning" not in card
