"""A spec survives writing and reading, and describes the shipped shape."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bise.errors import InputError
from bise.weights.rope import RopeScaling
from bise.weights.spec import ModelSpec, Quantisation, read_spec, write_spec

SHIPPED = ModelSpec(8192, 256, 6, 4, 2, 64, 704, 512, tied_embeddings=True)


def test_write_then_read_is_the_same(tmp_path: Path) -> None:
    spec = replace(SHIPPED, quantisation=Quantisation(8, 32))
    write_spec(tmp_path, spec)
    assert read_spec(tmp_path) == spec


def test_all_that_other_architectures_add_is_written_and_read(tmp_path: Path) -> None:
    spec = replace(
        SHIPPED,
        sliding_window=32,
        full_attention_layers=(1, 5),
        unrotated_layers=(0,),
        rope_scaling=RopeScaling("factors", factors=(1.0, 2.5) * 16),
        attention_bias=True,
        qk_norm=True,
    )
    write_spec(tmp_path, spec)
    assert read_spec(tmp_path) == spec
    assert [spec.layer_window(layer) for layer in range(6)] == [32, None, 32, 32, 32, None]
    added = spec.tensor_shapes().keys() - SHIPPED.tensor_shapes().keys()
    assert {name for name in added if name.startswith("layers.3.")} == {
        f"layers.3.attention.{name}" for name in ("wq.bias", "wk.bias", "wv.bias", "q_norm.weight", "k_norm.weight")
    }


def test_a_spec_from_before_these_fields_is_read(tmp_path: Path) -> None:
    write_spec(tmp_path, SHIPPED)
    table = json.loads((tmp_path / "spec.json").read_text())
    for name in ("full_attention_layers", "unrotated_layers", "rope_scaling", "attention_bias", "qk_norm"):
        del table[name]
    (tmp_path / "spec.json").write_text(json.dumps(table))
    assert read_spec(tmp_path) == SHIPPED


def test_the_shipped_shape_has_about_six_and_a_half_million_parameters() -> None:
    assert SHIPPED.num_parameters() == 8192 * 256 + 6 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 704 * 256 + 512) + 256


@pytest.mark.parametrize("text", ["", "[]", "{", '{"vocab_size": 1}', '{"unknown": 1}'])
def test_damage_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_spec(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_kv_heads": 3}, "multiple of num_kv_heads"),
        ({"rope_theta": 1.0}, "rope_theta is 1.0, but must be a number above 1"),
        ({"rope_theta": float("inf")}, "rope_theta is inf"),
        ({"norm_eps": -1.0}, "norm_eps is -1.0"),
        ({"full_attention_layers": (1,)}, "without sliding_window every layer is one"),
        ({"full_attention_layers": (6,), "sliding_window": 4}, "0 to 5, in order"),
        ({"full_attention_layers": (1, 0), "sliding_window": 4}, "0 to 5, in order"),
        ({"unrotated_layers": (-1,)}, "unrotated_layers is"),
        ({"rope_scaling": RopeScaling("factors", factors=(1.0,))}, "1 factors, but head_dim needs 32"),
    ],
)
def test_impossible_shapes_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(SHIPPED, **change)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kind": "linear", "factor": 0.0}, "factor is 0.0"),
        ({"kind": "linear", "factor": float("nan")}, "factor is nan"),
        ({"kind": "yarn", "factor": 2.0}, "original_context is 0, but yarn needs"),
        ({"kind": "linear", "query_beta": 0.1}, "original_context is 0"),
        ({"kind": "llama3", "original_context": 9, "low_freq_factor": 4.0}, "must be above low_freq_factor"),
        ({"kind": "yarn", "original_context": 9, "beta_fast": 1.0}, "must be above beta_slow"),
        ({"kind": "yarn", "original_context": 9, "query_beta": float("inf")}, "query_beta is inf"),
        ({"kind": "factors"}, "factors must be numbers above 0"),
        ({"kind": "linear", "factors": (1.0,)}, "and be left out else"),
        ({"kind": "factors", "factors": (0.0,)}, "factors must be numbers above 0"),
    ],
)
def test_impossible_stretches_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RopeScaling(**fields)
