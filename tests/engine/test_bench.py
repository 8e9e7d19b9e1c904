"""`bise bench` counts what the engine really does, and sets it beside what a step must read."""

import json
from dataclasses import replace

import pytest

from bise.engine.bench import BATCHES, step_bytes, token_operations
from bise.engine.machine import describe_machine
from bise.weights.spec import ModelSpec, Quantisation
from bise.weights.store import shipped_directory
from tests.command import succeed

SPEC = ModelSpec(
    vocab_size=100,
    hidden_size=64,
    num_layers=2,
    num_heads=2,
    num_kv_heads=1,
    head_dim=32,
    ffn_size=96,
    context_length=64,
)
LAYER = 2 * 64 * 64 + 2 * 32 * 64 + 3 * 64 * 96


@pytest.mark.parametrize(("bits", "bits_of_a_weight"), [(None, 16), (8, 8.5), (4, 4.5)])
def test_a_step_reads_every_matrix_once_and_the_cache(bits: int | None, bits_of_a_weight: float) -> None:

    spec = replace(SPEC, quantisation=Quantisation(bits, 32) if bits else None)
    matrices = (2 * LAYER + 100 * 64) * bits_of_a_weight / 8
    assert step_bytes(spec, context=0) == matrices
    assert step_bytes(spec, context=10) == matrices + 10 * 2 * 2 * 32 * 2
    assert token_operations(spec) == 2 * (2 * LAYER + 100 * 64)


@pytest.mark.slow
def test_every_figure_is_there() -> None:
    figures = json.loads(succeed("bench", "--seconds", "0.2", "--json"))
    assert figures["model"]["file_bytes"] == (shipped_directory() / "model.safetensors").stat().st_size
    assert set(figures["tokens_per_s"]) == {*(f"decode_{count}" for count in BATCHES), "prefill"}
    for rate in figures["tokens_per_s"].values():
        assert 0 < rate["p10"] <= rate["median"] <= rate["p90"]
    assert figures["peak_share_of_prefill"] > 0  # others at work while the peak is taken can bring it above 1
    assert figures["machine"]["processor"] == describe_machine().processor
    assert all(cost["kwh"] > 0 for cost in figures["per_million_tokens"].values())


@pytest.mark.slow
def test_people_get_lines() -> None:
    words = succeed("bench", "--seconds", "0.1", "--watts", "12")
    assert "decode_16" in words
    assert "12 W, stated" in words
