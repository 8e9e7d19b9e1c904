"""A model goes through every format and comes back with equal logits, and integers pass GGUF bit for bit."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bise.errors import InputError
from bise.gguf import Value, open_gguf, write_gguf
from bise.weights.files import Weights, open_weights
from bise.weights.formats.blocks import to_floats
from bise.weights.formats.detect import open_foreign
from bise.weights.formats.export import Companions, export_model
from bise.weights.formats.gguf import gguf_name, make_metadata, read_metadata
from bise.weights.quantise import PRECISIONS, convert
from bise.weights.rope import RopeScaling, yarn_attention_factor
from bise.weights.spec import ModelSpec
from bise.weights.tensors import dequantise
from tests.random_models import SHAPES, TINY, random_tensors, write_model
from tests.weights.formats.logits import our_logits, prompt, transformers_logits


def stored(source: Weights, directory: Path, precision: str | None = None) -> Weights:
    convert(source, directory, precision)
    return open_weights(directory)


ROADS = dict.fromkeys(SHAPES, ("hf", "gguf", "mistral", "hf")) | {
    "biases, windows in some layers": ("hf", "hf"),
    "head norms, llama3 frequencies": ("hf", "hf"),
    "an unrotated layer, growing queries, yarn": (),
}
SPECS = SHAPES | {
    "Qwen2": replace(SHAPES["biases, windows in some layers"], sliding_window=None, full_attention_layers=()),
    "Qwen3, Llama 3's frequencies": replace(TINY, qk_norm=True, rope_scaling=RopeScaling("llama3", 8.0, 8192)),
    "yarn": replace(TINY, rope_scaling=RopeScaling("yarn", 4.0, 16, attention_factor=yarn_attention_factor(4.0))),
    "growing queries": replace(TINY, rope_scaling=RopeScaling("yarn", 4.0, original_context=16, query_beta=0.3)),
    "a ramp of its own": replace(
        TINY,
        rope_scaling=RopeScaling(
            "yarn", 4.0, 16, beta_fast=4.0, beta_slow=0.5, attention_factor=yarn_attention_factor(4.0)
        ),
    ),
    "SmolLM3": replace(TINY, num_layers=5, unrotated_layers=(3,)),
    "windows in some layers": replace(TINY, sliding_window=9, full_attention_layers=(1,)),
}
ROADS |= {
    "Qwen2": ("hf", "gguf", "hf"),
    "Qwen3, Llama 3's frequencies": ("hf", "gguf", "hf"),
    "yarn": ("hf", "gguf", "mistral", "hf"),
    "growing queries": ("hf", "gguf", "mistral", "hf"),
    "a ramp of its own": ("hf", "gguf", "hf"),
    "SmolLM3": ("hf", "gguf", "hf"),
    "windows in some layers": ("hf", "hf"),
}


@pytest.mark.parametrize("shape", [name for name, road in ROADS.items() if road])
def test_a_model_comes_back_from_every_format_that_can_hold_it(tmp_path: Path, shape: str) -> None:
    spec = replace(SPECS[shape], context_length=128)
    weights = open_weights(write_model(tmp_path / "start", spec))
    export_model(weights, tmp_path / "first", "hf", Companions("m"))
    ids = prompt(spec.vocab_size)
    expected = transformers_logits(tmp_path / "first", ids)
    for step, to in enumerate(ROADS[shape]):
        export_model(weights, tmp_path / f"out{step}", to, Companions("m"))
        weights = stored(open_foreign(tmp_path / f"out{step}").weights, tmp_path / f"store{step}")
        assert weights.spec == spec
    last = tmp_path / f"out{step}"
    assert (last / "model.safetensors").read_bytes() == (tmp_path / "first/model.safetensors").read_bytes()
    np.testing.assert_array_equal(transformers_logits(last, ids), expected)
    np.testing.assert_allclose(our_logits(weights, ids), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("precision", [p for p in PRECISIONS if p != "16"])
@pytest.mark.parametrize(
    "shape", ["plain", "grouped, tied", "sliding window", "experts", "Qwen2", "Qwen3, Llama 3's frequencies"]
)
def test_integers_pass_gguf_bit_for_bit(tmp_path: Path, shape: str, precision: str) -> None:
    source = open_weights(write_model(tmp_path / "start", SPECS[shape]))
    weights = stored(source, tmp_path / "store", precision)
    export_model(weights, tmp_path / "out", "gguf", Companions("m"))
    model = open_foreign(tmp_path / "out")
    assert not model.notes
    again = stored(model.weights, tmp_path / "again")
    assert again.spec == weights.spec
    assert (tmp_path / "again/model.safetensors").read_bytes() == (tmp_path / "store/model.safetensors").read_bytes()
    export_model(again, tmp_path / "out2", "gguf", Companions("m"))
    assert (tmp_path / "out2/m.gguf").read_bytes() == (tmp_path / "out/m.gguf").read_bytes()


def test_embeddings_of_four_bits_keep_their_values(tmp_path: Path) -> None:
    path, blocks = write_types(tmp_path / "m.gguf", TINY, {"tok_embeddings.weight": "Q4_0"}, "Q4_0")
    weights = open_foreign(path).weights
    assert weights.spec.quantisation is not None
    assert weights.spec.quantisation.eight_bits == ()
    expected = to_floats("Q4_0", blocks["tok_embeddings.weight"])
    np.testing.assert_array_equal(stored(weights, tmp_path / "store").tensor("tok_embeddings.weight"), expected)


def write_types(path: Path, spec: ModelSpec, kinds: dict[str, str], other: str) -> tuple[Path, dict[str, np.ndarray]]:
    """A GGUF file whose matrices have these types and the other one, with random blocks."""
    import gguf

    random = np.random.default_rng(0)
    tensors, parts = {}, {}
    for name, shape in spec.tensor_shapes().items():
        kind = "F32" if len(shape) == 1 else kinds.get(name, other)
        values = random.standard_normal(shape).astype(np.float32)
        if kind in ("F32", "F16"):
            parts[name] = values.astype(np.float16 if kind == "F16" else np.float32)
        elif kind.endswith("_K"):
            block, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
            rows = random.integers(0, 256, (shape[0], shape[1] // block, size), np.uint8)
            at = {"Q2_K": (80, 82), "Q3_K": (108,), "Q6_K": (208,)}.get(kind, (0, 2))
            for start in at:
                scales = random.uniform(0.001, 0.01, rows.shape[:2]).astype(np.float16)
                rows[..., start : start + 2] = scales[..., None].view(np.uint8)
            parts[name] = rows.reshape(shape[0], -1)
        else:
            parts[name] = gguf.quants.quantize(values, gguf.GGMLQuantizationType[kind])
        tensors[gguf_name(name)] = (kind, shape)
    write_gguf(path, make_metadata(spec, "m", "F32"), tensors, parts.values())
    return path, parts


LARGE = replace(TINY, hidden_size=256, head_dim=64, ffn_size=256)


@pytest.mark.parametrize("kind", ["Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "Q4_1", "Q5_0", "Q5_1"])
def test_other_types_become_eight_bits_and_the_growth_is_told(tmp_path: Path, kind: str) -> None:
    path, blocks = write_types(tmp_path / "m.gguf", LARGE, {"output.weight": "F16"}, kind)
    model = open_foreign(path)
    assert model.weights.spec.quantisation is not None
    assert model.weights.spec.quantisation.bits == 8
    assert f"matrices of F16, {kind} are taken over at 8 bits" in model.notes[0]
    again = stored(model.weights, tmp_path / "store")
    for name in ("layers.1.feed_forward.w2.weight", "layers.0.attention.wv.weight"):
        exact = to_floats(kind, blocks[name])
        tensor = again.quantised(name)
        half_steps = 0.5 * tensor.scales.astype(np.float32).repeat(32, axis=1)
        assert (np.abs(dequantise(tensor) - exact) <= half_steps * 1.001).all()
        np.testing.assert_array_equal(model.weights.tensor(name), again.tensor(name))  # in place as from the store


def test_a_mixed_file_keeps_what_it_can(tmp_path: Path) -> None:
    kinds = {"output.weight": "Q6_K", "layers.0.attention.wk.weight": "Q8_0", "layers.1.feed_forward.w2.weight": "Q4_1"}
    path, blocks = write_types(tmp_path / "m.gguf", LARGE, kinds, "Q4_0")
    model = open_foreign(path)
    quantisation = model.weights.spec.quantisation
    assert quantisation is not None
    assert quantisation.bits == 4
    joined = {f"layers.0.attention.{name}.weight" for name in ("wq", "wk", "wv")}
    assert set(quantisation.eight_bits) == joined | {"output.weight", "layers.1.feed_forward.w2.weight"}
    again = stored(model.weights, tmp_path / "store")
    for name in ("layers.0.attention.wv.weight", "layers.1.attention.wv.weight"):
        np.testing.assert_array_equal(again.tensor(name), to_floats("Q4_0", blocks[name]))
    ids = prompt(LARGE.vocab_size, 20)
    np.testing.assert_array_equal(our_logits(again, ids), our_logits(model.weights, ids))


def test_a_file_of_gguf_s_own_writer_is_read(tmp_path: Path) -> None:
    import gguf

    tensors = random_tensors(TINY)
    writer = gguf.GGUFWriter(str(tmp_path / "theirs.gguf"), "llama")
    for key, value in make_metadata(TINY, "theirs", "F32").items():
        if key.startswith("llama."):
            (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(key, value)
    writer.add_token_list(["a"] * TINY.vocab_size)
    for name, tensor in tensors.items():
        writer.add_tensor(gguf_name(name), tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model = open_foreign(tmp_path / "theirs.gguf")
    assert model.weights.spec == replace(TINY, norm_eps=model.weights.spec.norm_eps)
    np.testing.assert_array_equal(model.weights.tensor("output.weight"), tensors["output.weight"])
    assert model.vocabulary["tokenizer.ggml.tokens"] == ["a"] * TINY.vocab_size


def test_gguf_s_own_reader_reads_what_we_write(tmp_path: Path) -> None:
    import gguf

    weights = stored(open_weights(write_model(tmp_path / "start", TINY)), tmp_path / "store", "mixed")
    export_model(weights, tmp_path / "out", "gguf", Companions("m"))
    reader = gguf.GGUFReader(str(tmp_path / "out/m.gguf"))
    assert reader.get_field("llama.block_count").contents() == 2
    found = {tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type) for tensor in reader.tensors}
    np.testing.assert_array_equal(found["blk.1.ffn_down.weight"], weights.tensor("layers.1.feed_forward.w2.weight"))
    np.testing.assert_array_equal(found["output.weight"], weights.tensor("output.weight"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba'. Of GGUF, Bise reads: llama, qwen2"),
        ({"llama.expert_count": 20}, "too few for the 2 layers"),
        ({"llama.expert_count": 2}, "no tensor blk.0.ffn_gate_inp.weight"),
        ({"llama.expert_count": 8, "llama.expert_used_count": 9}, "experts_per_token is 9"),
        ({"llama.expert_count": 2**20}, "num_local_experts is 1048576"),
        ({"llama.rope.scaling.type": "longrope"}, "'longrope' is not supported"),
        ({"llama.block_count": "two"}, "num_hidden_layers is 'two'"),
        ({"llama.block_count": 9999}, "too few for the 9999 layers"),
        ({"llama.attention.head_count": 0}, "num_attention_heads is 0"),
        ({"llama.attention.value_length": 8}, "value_length is 8"),
    ],
)
def test_gguf_that_is_not_supported_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    weights = open_weights(write_model(tmp_path / "start", TINY))
    export_model(weights, tmp_path / "out", "gguf", Companions("m"))
    header, data = open_gguf(tmp_path / "out/m.gguf")
    stored_as = {name: (tensor.type, tensor.shape) for name, tensor in header.tensors.items()}
    parts = [np.frombuffer(data[tensor.start : tensor.end], np.uint8) for tensor in header.tensors.values()]
    write_gguf(tmp_path / "changed.gguf", header.metadata | changes, stored_as, parts)  # type: ignore[operator]
    with pytest.raises(InputError) as error:
        open_foreign(tmp_path / "changed.gguf")
    assert words in str(error.value)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3])
def test_a_temperature_of_its_own_passes_mistral3(tmp_path: Path, factor: float) -> None:
    scaling = RopeScaling("yarn", 4.0, 16, attention_factor=factor, query_beta=0.1)
    path = tmp_path / "m.gguf"
    metadata = make_metadata(replace(TINY, rope_scaling=scaling), "m", "F32")
    assert metadata["general.architecture"] == "mistral3"
    write_gguf(path, metadata, {"token_embd.weight": ("F32", (97, 64))}, [np.zeros((97, 64), np.float32)])
    header, data = open_gguf(path)
    again = read_metadata(header, data, str(path)).rope_scaling
    assert again is not None
    assert again.attention_factor == pytest.approx(factor, rel=1e-6)
    assert replace(again, attention_factor=factor) == scaling


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rope.scaling.attn_factor": 1.5}, "mistral3.rope.scaling.attn_factor is 1.5"),
        ({"rope.scaling.yarn_ext_factor": 0.5}, "mistral3.rope.scaling.yarn_ext_factor is 0.5"),
        ({"rope.scaling.type": "linear"}, "mistral3.attention.temperature_scale is 0.1"),
        ({"rope.scaling.yarn_log_multiplier": -20.0}, "attention_factor is -"),
        ({"expert_count": 4}, "of mixtures of experts in GGUF"),
    ],
)
def test_what_mistral3_asks_for_beyond_ours_is_named(tmp_path: Path, changes: dict[str, Value], words: str) -> None:
    scaling = RopeScaling("yarn", 4.0, 16, query_beta=0.1)
    metadata = make_metadata(replace(TINY, rope_scaling=scaling), "m", "F32")
    metadata |= {f"mistral3.{key}": value for key, value in changes.items()}
    path = tmp_path / "m.gguf"
    write_gguf(path, metadata, {"token_embd.weight": ("F32", (97, 64))}, [np.zeros((97, 64), np.float32)])
    with pytest.raises(InputError, match=re.escape(words)):
        open_foreign(path)


def mistral_directory(tmp_path: Path, **changes: object) -> Path:
    weights = open_weights(write_model(tmp_path / "start", TINY))
    export_model(weights, tmp_path / "out", "mistral", Companions("m"))
    path = tmp_path / "out/params.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"moe": {"num_experts": 8}}, "moe must be a table of num_experts and num_experts_per_tok"),
        ({"moe": {"num_experts": 8, "num_experts_per_tok": 0}}, "num_experts_per_tok is 0"),
        ({"moe": {"num_experts": 2, "num_experts_per_tok": 1}, "yarn": {"factor": 2}}, "both moe and yarn"),
        ({"n_layers": 3}, "no tensor layers.2"),
        ({"n_heads": None}, "num_attention_heads is missing"),
        ({"dim": 10**30}, "hidden_size is a number of 100 bits"),
    ],
)
def test_mistral_that_is_not_supported_is_named(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as error:
        open_foreign(mistral_directory(tmp_path, **changes))
    assert words in str(error.value)


def test_mistral_s_rows_are_interleaved(tmp_path: Path) -> None:
    """Against the definition: rotating neighbours of the file gives the same scores as rotating our halves."""
    from safetensors.numpy import load_file

    directory = mistral_directory(tmp_path)
    theirs = load_file(directory / "consolidated.safetensors")["layers.0.attention.wq.weight"]
    ours = open_foreign(directory).weights.tensor("layers.0.attention.wq.weight")
    half = TINY.head_dim // 2
    np.testing.assert_array_equal(theirs[0::2][:half], ours[:half])
    np.testing.assert_array_equal(theirs[1::2][:half], ours[half : 2 * half])


@pytest.mark.parametrize(
    ("shape", "to"),
    [
        ("an unrotated layer, growing queries, yarn", "hf"),
        ("an unrotated layer, growing queries, yarn", "gguf"),
        ("Qwen2", "mistral"),
        ("Qwen3, Llama 3's frequencies", "mistral"),
        ("windows in some layers", "gguf"),
    ],
)
def test_what_a_format_has_no_words_for_is_not_exported(tmp_path: Path, shape: str, to: str) -> None:
    weights = open_weights(write_model(tmp_path / "start", SPECS[shape]))
    with pytest.raises(InputError, match="has no"):
        export_model(weights, tmp_path / "out", to, Companions("m"))
    assert not (tmp_path / "out").exists()
