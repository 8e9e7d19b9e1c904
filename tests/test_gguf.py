"""A GGUF file comes back as it was written, and whatever is wrong with one is a sentence that costs no memory."""

import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bise.errors import InputError
from bise.gguf import MAGIC, Tensor, open_gguf, read_header, write_gguf

METADATA = {
    "general.architecture": "llama",
    "general.name": "Ein Bär 🐻",
    "llama.block_count": 2,
    "llama.rope.freq_base": 10000.0,
    "tokenizer.ggml.add_bos_token": True,
    "tokenizer.ggml.tokens": ["<s>", "", "é", "Ġword"],
    "tokenizer.ggml.scores": np.array([0, -1, -2, -3], np.float32),
    "tokenizer.ggml.token_type": np.array([3, 1, 1, 1], np.int32),
}
TENSORS = {
    "blk.0.attn_q.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "output_norm.weight": np.ones(5, np.float32),
    "output.weight": np.arange(6, dtype=np.float16).reshape(2, 3),
}
TYPES = {np.dtype(np.float32): "F32", np.dtype(np.float16): "F16"}


def write_example(path: Path) -> Path:
    stored = {name: (TYPES[values.dtype], values.shape) for name, values in TENSORS.items()}
    write_gguf(path, METADATA, stored, TENSORS.values())
    return path


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    header, data = open_gguf(write_example(tmp_path / "model.gguf"))
    assert header.metadata.keys() == METADATA.keys()
    for key, value in METADATA.items():
        np.testing.assert_array_equal(header.metadata[key], value)
    for name, values in TENSORS.items():
        tensor = header.tensors[name]
        assert tensor.start % 32 == 0
        read = np.frombuffer(data[tensor.start : tensor.end], values.dtype).reshape(tensor.shape)
        np.testing.assert_array_equal(read, values)


def test_tensors_may_come_in_parts(tmp_path: Path) -> None:
    stored = {name: (TYPES[values.dtype], values.shape) for name, values in TENSORS.items()}
    rows = [row for values in TENSORS.values() for row in np.atleast_2d(values)]
    write_gguf(tmp_path / "parts.gguf", METADATA, stored, rows)
    assert (tmp_path / "parts.gguf").read_bytes() == write_example(tmp_path / "whole.gguf").read_bytes()


def test_version_two_is_read(tmp_path: Path) -> None:
    content = bytearray(write_example(tmp_path / "model.gguf").read_bytes())
    content[4:8] = struct.pack("<I", 2)
    assert read_header(tmp_path, bytes(content)).text("general.architecture") == "llama"


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def header_of(num_tensors: int = 0, num_keys: int = 0, body: bytes = b"") -> bytes:
    return MAGIC + struct.pack("<IQQ", 3, num_tensors, num_keys) + body


def tensor_record(
    name: bytes = b"a", shape: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0, dimensions: int | None = None
) -> bytes:
    count = len(shape) if dimensions is None else dimensions
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", count, *shape, kind, offset)


HUGE = 2**63
HOSTILE = {
    "empty": b"",
    "other magic": b"GGML" + bytes(64),
    "version 1": MAGIC + struct.pack("<IQQ", 1, 0, 0),
    "big endian": MAGIC + struct.pack(">IQQ", 3, 0, 0),
    "cut after the magic": MAGIC,
    "many tensors": header_of(num_tensors=HUGE),
    "many keys": header_of(num_keys=HUGE),
    "a key beyond the end": header_of(0, 1, struct.pack("<Q", 1000) + bytes(100)),
    "a key of 2^64 bytes": header_of(0, 1, struct.pack("<Q", 2**64 - 1) + bytes(100)),
    "a key that is not UTF-8": header_of(0, 1, text(b"\xff\xfe") + struct.pack("<II", 4, 1)),
    "a value of no type": header_of(0, 1, text(b"k") + struct.pack("<II", 99, 1)),
    "a key twice": header_of(0, 2, (text(b"key") + struct.pack("<II", 4, 1)) * 2),
    "a string beyond the end": header_of(0, 1, text(b"k") + struct.pack("<IQ", 8, HUGE)),
    "an array of 2^63 strings": header_of(0, 1, text(b"k") + struct.pack("<IIQ", 9, 8, HUGE)),
    "an array of more strings than bytes": header_of(0, 1, text(b"k") + struct.pack("<IIQ", 9, 8, 50) + bytes(100)),
    "a string of an array beyond the end": header_of(0, 1, text(b"k") + struct.pack("<IIQQ", 9, 8, 1, HUGE) + bytes(9)),
    "an array of 2^63 numbers": header_of(0, 1, text(b"k") + struct.pack("<IIQ", 9, 10, HUGE)),
    "an array of 2^61 numbers": header_of(0, 1, text(b"k") + struct.pack("<IIQ", 9, 10, 2**61)),
    "an array in an array": header_of(0, 1, text(b"k") + struct.pack("<IIQ", 9, 9, 1) + bytes(64)),
    "a tensor of no dimension": header_of(1, 0, tensor_record(dimensions=0) + bytes(64)),
    "a tensor of 2^32 dimensions": header_of(1, 0, tensor_record(dimensions=2**32 - 1) + bytes(64)),
    "a size of zero": header_of(1, 0, tensor_record(shape=(0,)) + bytes(64)),
    "sizes that overflow": header_of(1, 0, tensor_record(shape=(2**32, 2**32, 2)) + bytes(64)),
    "a tensor beyond the end": header_of(1, 0, tensor_record(shape=(4000,)) + bytes(64)),
    "an offset beyond the end": header_of(1, 0, tensor_record(offset=2**40) + bytes(64)),
    "an offset that overflows": header_of(1, 0, tensor_record(offset=2**64 - 32) + bytes(64)),
    "an offset out of line": header_of(1, 0, tensor_record(offset=4) + bytes(64)),
    "a tensor twice": header_of(2, 0, tensor_record() * 2 + bytes(96)),
    "tensors over each other": header_of(2, 0, tensor_record(b"a") + tensor_record(b"b") + bytes(96)),
    "a row that is not whole blocks": header_of(1, 0, tensor_record(shape=(33,), kind=8) + bytes(96)),
    "an unknown type": header_of(1, 0, tensor_record(kind=12345) + bytes(96)),
    "an alignment of zero": header_of(0, 1, text(b"general.alignment") + struct.pack("<II", 4, 0)),
    "an alignment of text": header_of(0, 1, text(b"general.alignment") + struct.pack("<I", 8) + text(b"x")),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_a_sentence_and_costs_no_memory(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"GGUF|damaged|Bise reads only"):
        open_gguf(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_type_that_is_known_and_not_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(header_of(1, 0, tensor_record(kind=23, shape=(256,)) + bytes(256)))
    with pytest.raises(InputError, match="IQ4_XS, but Bise reads only F32, F16, Q4_0"):
        open_gguf(tmp_path / "model.gguf")


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be read"):
        open_gguf(tmp_path / "none.gguf")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_example(tmp_path_factory.mktemp("gguf") / "model.gguf").read_bytes()


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_flipped_and_cut_bytes_are_sentences_or_harmless(example: bytes, data: st.DataObject) -> None:
    content = bytearray(example)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from([0, 1, 127, 128, 254, 255]))
    cut = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    try:
        header = read_header(Path("mutated.gguf"), bytes(content[:cut]))
    except InputError as error:
        assert "mutated.gguf" in str(error)  # noqa: PT017 - either outcome is right, a traceback is not
    else:
        assert all(0 < tensor.start <= tensor.end <= cut for tensor in header.tensors.values())


NAMES = st.text(min_size=1, max_size=20)
VALUES = st.one_of(
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.floats(width=32, allow_nan=False),
    st.text(max_size=50),
    st.lists(st.text(max_size=10), max_size=20),
)


@settings(max_examples=100, deadline=None)
@given(metadata=st.dictionaries(NAMES.filter(lambda name: name != "general.alignment"), VALUES, max_size=10))
def test_any_metadata_comes_back(tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, object]) -> None:
    path = tmp_path_factory.mktemp("any") / "model.gguf"
    write_gguf(path, metadata, {})  # type: ignore[arg-type]
    header, _ = open_gguf(path)
    assert header.metadata.keys() == metadata.keys()
    for key, value in metadata.items():
        read = header.metadata[key]
        assert (np.float32(read) == np.float32(value)) if isinstance(value, float) else read == value


def test_the_table_says_where_tensors_lie(tmp_path: Path) -> None:
    write_gguf(tmp_path / "one.gguf", {}, {"a": ("Q8_0", (2, 32))}, [np.zeros(68, np.uint8)])
    header, _ = open_gguf(tmp_path / "one.gguf")
    assert header.tensors == {"a": Tensor("Q8_0", (2, 32), 96, 164)}
