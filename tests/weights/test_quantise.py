"""Eight bits lose at most half a step, and what is written is what is read."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bise.errors import InputError
from bise.weights.files import open_weights
from bise.weights.quantise import Scales, convert, quantise, quantise_directory
from bise.weights.spec import ModelSpec, Quantisation, write_spec
from bise.weights.tensor_file import header_bytes, tensor_sizes
from bise.weights.tensors import dequantise
from tests.random_models import TINY, random_tensors, write_model


@settings(deadline=None)
@given(
    arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 5), st.integers(1, 4).map(lambda groups: groups * 32)),
        elements=st.floats(-1e6, 1e6, width=32),
    )
)
@example(np.full((1, 32), 1e-45, np.float32))
def test_every_weight_is_off_by_at_most_half_a_step(weight: np.ndarray) -> None:
    quantised = quantise(weight)
    steps = np.repeat(quantised.scales.astype(np.float64), 32, axis=1)
    error = np.abs(dequantise(quantised).astype(np.float64) - weight)
    assert (error <= steps / 2 * (1 + 1e-6)).all()
    largest = np.abs(weight.reshape(len(weight), -1, 32)).max(axis=2).repeat(32, axis=1)
    assert (steps <= largest / 127 * (1 + 2**-10) + 2**-24).all()  # no coarser than float16 makes it


def test_a_weight_beyond_the_scales_is_refused() -> None:
    with pytest.raises(InputError, match="too large for 8 bits"):
        quantise(np.full((1, 32), 1e9, np.float32))


def test_a_quantised_directory_is_a_model_whose_vectors_are_untouched(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    source = write_model(tmp_path / "source", TINY, tensors)
    (source / "tekken.json").write_text("{}", encoding="utf-8")
    quantise_directory(source, tmp_path / "target")
    weights = open_weights(tmp_path / "target")
    assert weights.spec == replace(TINY, quantisation=Quantisation(8, 32))
    assert (tmp_path / "target" / "tekken.json").exists()
    for name, value in tensors.items():
        if value.ndim == 1:
            np.testing.assert_array_equal(weights.tensor(name), value)
        else:
            np.testing.assert_array_equal(weights.tensor(name), dequantise(quantise(value)))


@pytest.mark.parametrize("spec", [TINY, replace(TINY, tied_embeddings=True)])
def test_four_bits_are_read_as_they_were_rounded_and_embeddings_have_eight(tmp_path: Path, spec: ModelSpec) -> None:
    tensors = random_tensors(spec)
    calls: list[tuple[int, int]] = []
    source = write_model(tmp_path / "source", spec, tensors)
    quantise_directory(source, tmp_path / "target", 4, lambda *done: calls.append(done))
    weights = open_weights(tmp_path / "target")
    assert weights.spec == replace(spec, quantisation=Quantisation(4, 32))
    assert calls[-1] == (spec.num_parameters(),) * 2
    for name, value in tensors.items():
        if value.ndim == 1:
            np.testing.assert_array_equal(weights.tensor(name), value)
            continue
        expected, stored = quantise(value, 8 if name == "tok_embeddings.weight" else 4), weights.quantised(name)
        assert stored.bits == expected.bits
        np.testing.assert_array_equal(stored.values, expected.values)
        np.testing.assert_array_equal(stored.scales, expected.scales)


def test_a_matrix_of_several_parts_is_as_if_it_were_one(tmp_path: Path) -> None:
    spec = replace(TINY, vocab_size=70_000, num_layers=1)
    tensors = random_tensors(spec)
    quantise_directory(write_model(tmp_path / "source", spec, tensors), tmp_path / "target", 4)
    stored = open_weights(tmp_path / "target").quantised("output.weight")
    np.testing.assert_array_equal(stored.values, quantise(tensors["output.weight"], 4).values)


def test_sixteen_bits_keep_eight_binary_digits(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    quantise_directory(write_model(tmp_path / "source", TINY, tensors), tmp_path / "target", bits=16)
    weights = open_weights(tmp_path / "target")
    for name, value in tensors.items():
        np.testing.assert_allclose(weights.tensor(name), value, rtol=2**-8)


def test_what_cannot_be_quantised_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    narrow = write_model(tmp_path / "narrow", replace(TINY, hidden_size=52))
    with pytest.raises(InputError, match="52 columns"):
        quantise_directory(narrow, tmp_path / "target")
    source = write_model(tmp_path / "source", TINY)
    with pytest.raises(InputError, match="not 5"):
        quantise_directory(source, tmp_path / "target", bits=5)
    assert not (tmp_path / "target").exists()
    quantise_directory(source, tmp_path / "target")
    with pytest.raises(InputError, match="already has 8-bit weights"):
        quantise_directory(tmp_path / "target", tmp_path / "again")


CONVERT = """
import re, resource, sys
from pathlib import Path
from bise.weights.files import open_weights
from bise.weights.quantise import convert

convert(open_weights(Path(sys.argv[1])), Path(sys.argv[2]), "4")
# Linux counts the parent's memory at the fork in ru_maxrss; VmHWM begins anew with the program.
status = Path("/proc/self/status")
if status.exists():
    print(1024 * int(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
else:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_model(tmp_path: Path) -> None:
    """A gigabyte of weights, as a file with holes, is converted in half of that."""
    spec = replace(
        TINY, vocab_size=32_768, hidden_size=4096, num_heads=32, num_kv_heads=8, head_dim=128, ffn_size=14_336
    )
    layout = {name: ("BF16", shape) for name, shape in spec.tensor_shapes().items()}
    source = tmp_path / "source"
    source.mkdir()
    write_spec(source, spec)
    header = header_bytes(layout)
    with (source / "model.safetensors").open("wb") as file:
        file.write(header)
        file.truncate(len(header) + sum(tensor_sizes(layout)))
    command = [sys.executable, "-c", CONVERT, str(source), str(tmp_path / "target")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=250)
    assert (source / "model.safetensors").stat().st_size > 1e9
    assert int(done.stdout) < 600e6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("precision", ["4", "8", "16"])
def test_what_is_no_number_is_not_rounded(tmp_path: Path, value: float, precision: str) -> None:
    tensors = random_tensors(TINY)
    tensors["layers.1.feed_forward.w2.weight"][5, 7] = value
    weights = open_weights(write_model(tmp_path / "source", TINY, tensors))
    for are_searched in (True, False):
        with pytest.raises(InputError, match=r"layers\.1\.feed_forward\.w2\.weight .* not numbers"):
            convert(weights, tmp_path / "target", precision, scales=Scales(are_searched=are_searched))
