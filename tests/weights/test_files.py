"""What a model directory holds is read exactly, and whatever is wrong with it is a sentence."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bise.errors import InputError
from bise.weights.files import open_weights
from bise.weights.quantise import quantise_directory
from bise.weights.spec import Quantisation, write_spec
from bise.weights.tensor_file import read_safetensors, write_tensors
from bise.weights.tensors import narrow
from tests.random_models import TINY, random_tensors, write_model


def test_float32_comes_back_as_it_was_and_without_a_copy(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    weights = open_weights(write_model(tmp_path, TINY, tensors))
    assert weights.spec == TINY
    for name, values in tensors.items():
        np.testing.assert_array_equal(weights.tensor(name), values)
        assert not weights.tensor(name).flags.owndata


def test_other_float_types_are_widened(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    stored = {name: ("F16", value.astype(np.float16)) for name, value in tensors.items()}
    stored["norm.weight"] = ("BF16", narrow(tensors["norm.weight"], "BF16"))
    write_spec(tmp_path, TINY)
    write_tensors(tmp_path / "model.safetensors", stored)
    weights = open_weights(tmp_path)
    for name, value in tensors.items():
        assert weights.tensor(name).dtype == np.float32
        np.testing.assert_allclose(weights.tensor(name), value, rtol=2**-8, atol=2**-20)


def test_bfloat16_rounds_to_nearest_even() -> None:
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(0).standard_normal(4096).astype(np.float32)
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    np.testing.assert_array_equal(narrow(values, "BF16"), expected)


def test_the_safetensors_library_reads_what_we_write(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    path = write_model(tmp_path, TINY, tensors) / "model.safetensors"
    read = safetensors.numpy.load_file(path)
    assert read.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(read[name], value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    write_spec(tmp_path, TINY)
    with pytest.raises(InputError, match=r"has no model\.safetensors"):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"norm.weight": None}, "lacks the tensor norm.weight"),
        ({"norm.weight": None, "output.weight": None}, "lacks norm.weight and 1 more"),
        ({"extra.weight": np.zeros(3, np.float32)}, "holds the tensor extra.weight"),
        ({"norm.weight": np.zeros(3, np.float32)}, "has shape (3,), but spec.json asks for (64,)"),
    ],
)
def test_tensors_that_do_not_fit_the_spec_are_named(tmp_path: Path, change: dict[str, object], words: str) -> None:
    tensors = {name: value for name, value in (random_tensors(TINY) | change).items() if value is not None}
    with pytest.raises(InputError) as error:
        open_weights(write_model(tmp_path, TINY, tensors))
    assert words in str(error.value)


def test_a_type_that_does_not_fit_is_named(tmp_path: Path) -> None:
    stored = {name: ("F32", value) for name, value in random_tensors(TINY).items()}
    stored["norm.weight"] = ("I8", np.zeros(TINY.hidden_size, np.int8))
    write_spec(tmp_path, TINY)
    write_tensors(tmp_path / "model.safetensors", stored)
    with pytest.raises(InputError, match="stored as I8"):
        open_weights(tmp_path)


@pytest.mark.parametrize("quantisation", [Quantisation(5, 32), Quantisation(8, 48), Quantisation(4, 16)])
def test_a_quantisation_that_cannot_be_is_refused(tmp_path: Path, quantisation: Quantisation) -> None:
    write_model(tmp_path, TINY)
    write_spec(tmp_path, replace(TINY, quantisation=quantisation))
    with pytest.raises(InputError, match="only 8 or 4 bits in groups of 32"):
        open_weights(tmp_path)


def test_a_shape_that_groups_do_not_fit_is_refused(tmp_path: Path) -> None:
    narrow = replace(TINY, ffn_size=100, quantisation=Quantisation(4, 32))
    write_model(tmp_path, narrow)
    with pytest.raises(InputError, match="100 columns, which is not a multiple"):
        open_weights(tmp_path)


@pytest.mark.parametrize(
    ("stored", "claimed", "words"),
    [
        (4, 8, "layers.0.attention.wq.weight has shape (64, 32)"),
        (8, 4, "layers.0.attention.wq.weight has shape (64, 64)"),
    ],
)
def test_integers_of_other_bits_than_the_spec_says_are_refused(
    tmp_path: Path, stored: int, claimed: int, words: str
) -> None:
    quantise_directory(write_model(tmp_path / "float", TINY), tmp_path / "small", stored)
    write_spec(tmp_path / "small", replace(TINY, quantisation=Quantisation(claimed, 32)))
    with pytest.raises(InputError, match=re.escape(words)):
        open_weights(tmp_path / "small")


@pytest.mark.parametrize("bits", [4, 8, 16])
def test_rows_are_those_of_the_whole_tensor(tmp_path: Path, bits: int) -> None:
    quantise_directory(write_model(tmp_path / "float", TINY), tmp_path / "small", bits)
    weights = open_weights(tmp_path / "small")
    for name in ("tok_embeddings.weight", "layers.1.feed_forward.w2.weight", "norm.weight"):
        for rows in (slice(3, 8), np.array([5, 0, 5])):
            np.testing.assert_array_equal(weights.rows(name, rows), weights.tensor(name)[rows])


def test_values_that_are_not_numbers_are_found_on_reading(tmp_path: Path) -> None:
    tensors = random_tensors(TINY)
    tensors["norm.weight"][5] = np.nan
    weights = open_weights(write_model(tmp_path, TINY, tensors))
    with pytest.raises(InputError, match=r"norm\.weight"):
        weights.tensor("norm.weight")


def test_scales_that_are_not_numbers_are_found_on_reading(tmp_path: Path) -> None:
    quantise_directory(write_model(tmp_path / "float", TINY), tmp_path / "int8")
    path = tmp_path / "int8" / "model.safetensors"
    start = read_safetensors(path)["layers.0.attention.wq.scales"].region.start
    content = bytearray(path.read_bytes())
    content[start : start + 2] = np.float16("nan").tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"wq\.scales"):
        open_weights(path.parent).tensor("layers.0.attention.wq.weight")


def test_a_spec_of_absurd_depth_is_refused_at_once(tmp_path: Path) -> None:
    write_model(tmp_path, TINY)
    write_spec(tmp_path, replace(TINY, num_layers=10**12))
    with pytest.raises(InputError, match="asks for 1000000000000 layers"):
        open_weights(tmp_path)


def file_with_header(tmp_path: Path, header: bytes, data: bytes = b"") -> Path:
    write_spec(tmp_path, TINY)
    (tmp_path / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    return tmp_path


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": ' + b"9" * 10_000 + b"}",
        b'{"a": 1}',
        b'{"a": {"dtype": "F32"}}',
        b'{"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}',
        b'{"a": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [true], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [1e9], "data_offsets": [0, 4]}}',
        b'{"a": {"dtype": "F32", "shape": [4000000000, 4000000000], "data_offsets": [0, 64000000000000000000]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}',
        b'{"a": {"dtype": "F32", "shape": [0], "data_offsets": [9, 9]}}',
    ],
)
def test_a_damaged_header_is_a_sentence(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(InputError):
        open_weights(file_with_header(tmp_path, header, bytes(8)))


@pytest.mark.parametrize("content", [b"", b"1234567", b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}"])
def test_a_header_longer_than_the_file_allocates_nothing(tmp_path: Path, content: bytes) -> None:
    write_spec(tmp_path, TINY)
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        open_weights(tmp_path)


def test_overlapping_tensors_are_refused(tmp_path: Path) -> None:
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    with pytest.raises(InputError, match="damaged"):
        open_weights(file_with_header(tmp_path, json.dumps({"a": entry, "b": entry}).encode(), bytes(8)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("whole"), TINY)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_and_cut_bytes_of_the_header_are_sentences_or_harmless(whole: Path, data: st.DataObject) -> None:
    path = whole / "model.safetensors"
    content = bytearray(path.read_bytes())
    header_end = 8 + int.from_bytes(content[:8], "little")
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, header_end - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    broken = whole.parent / "broken"
    broken.mkdir(exist_ok=True)
    write_spec(broken, TINY)
    (broken / "model.safetensors").write_bytes(content[:cut])
    try:
        open_weights(broken)
    except InputError as error:
        assert str(broken) in str(error)  # noqa: PT017 - either outcome is right, a traceback is not
