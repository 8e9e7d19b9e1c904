"""A spec survives writing and reading, and describes the shipped shape."""

from dataclasses import replace
from pathlib import Path

import pytest

from bise.errors import InputError
from bise.weights.spec import ModelSpec, Quantisation, read_spec, write_spec

SHIPPED = ModelSpec(8192, 256, 6, 4, 2, 64, 704, 512, tied_embeddings=True)


def test_write_then_read_is_the_same(tmp_path: Path) -> None:
    spec = replace(SHIPPED, quantisation=Quantisation(8, 32))
    write_spec(tmp_path, spec)
    assert read_spec(tmp_path) == spec


def test_the_shipped_shape_has_about_six_and_a_half_million_parameters() -> None:
    assert SHIPPED.num_parameters() == 8192 * 256 + 6 * (2 * 256 * 256 + 2 * 128 * 256 + 3 * 704 * 256 + 512) + 256


@pytest.mark.parametrize("text", ["", "[]", "{", '{"vocab_size": 1}', '{"unknown": 1}'])
def test_damage_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_spec(tmp_path)


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of num_kv_heads"):
        replace(SHIPPED, num_kv_heads=3)
