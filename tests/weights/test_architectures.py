"""config.json files of real models give their shapes, and what is not supported is named with the list of what is."""

import math
from typing import Any

import pytest

from bise.errors import InputError
from bise.weights.architectures import ARCHITECTURES, model_spec, text_config
from bise.weights.rope import RopeScaling

MISTRAL = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_act": "silu",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "vocab_size": 32000,
}
LLAMA = {**MISTRAL, "model_type": "llama", "vocab_size": 128256, "max_position_embeddings": 131072, "rope_theta": 5e5}
LLAMA_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
QWEN = {**MISTRAL, "model_type": "qwen2", "use_sliding_window": False, "max_window_layers": 28, "rope_theta": 1e6}


def shape(config: dict[str, Any]) -> Any:
    return model_spec(config, "config.json")


def test_mistral() -> None:
    spec = shape(MISTRAL)
    assert (spec.sliding_window, spec.full_attention_layers, spec.head_dim) == (4096, (), 128)
    assert round(spec.num_parameters() / 1e9, 2) == 7.24
    assert shape({**MISTRAL, "sliding_window": None}).sliding_window is None
    nemo = shape({**MISTRAL, "hidden_size": 5120, "head_dim": 128, "sliding_window": None})
    assert nemo.tensor_shapes()["layers.0.attention.wq.weight"] == (4096, 5120)


def test_ministral_has_windows_in_the_layers_that_it_lists() -> None:
    kinds = ["full_attention", "sliding_attention"] * 16
    spec = shape({**MISTRAL, "model_type": "ministral", "layer_types": kinds})
    assert spec.full_attention_layers == tuple(range(0, 32, 2))


def test_ministral_3_from_beside_an_image_tower() -> None:
    rope = {
        "rope_type": "yarn",
        "type": "yarn",
        "rope_theta": 1e6,
        "factor": 16.0,
        "original_max_position_embeddings": 16384,
        "beta_fast": 32.0,
        "beta_slow": 1.0,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "llama_4_scaling_beta": 0.1,
    }
    text = {**MISTRAL, "model_type": "ministral3", "sliding_window": None, "rope_parameters": rope}
    spec = shape({"model_type": "mistral3", "text_config": text, "vision_config": {}})
    assert spec.rope_scaling == RopeScaling("yarn", 16.0, 16384, query_beta=0.1)
    assert spec.rope_theta == 1e6
    assert text_config(text) is text


def test_llama_3_in_the_old_and_the_new_spelling() -> None:
    old = shape({**LLAMA, "rope_scaling": LLAMA_ROPE})
    del (unplaced := dict(LLAMA))["rope_theta"]
    assert shape({**unplaced, "rope_parameters": {**LLAMA_ROPE, "rope_theta": 5e5}}) == old
    assert old.rope_scaling == RopeScaling("llama3", 8.0, 8192)
    assert old.sliding_window is None  # Llama's code knows no window


def test_linear_and_yarn() -> None:
    assert shape({**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.0}}).rope_scaling == RopeScaling(
        "linear", 2.0
    )
    yarn = shape({**QWEN, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}})
    assert yarn.rope_scaling == RopeScaling("yarn", 4.0, 32768, attention_factor=0.1 * math.log(4) + 1)


def test_qwen() -> None:
    spec = shape(QWEN)
    assert (spec.attention_bias, spec.qk_norm, spec.sliding_window) == (True, False, None)
    windowed = shape({**QWEN, "use_sliding_window": True})
    assert (windowed.sliding_window, windowed.full_attention_layers) == (4096, tuple(range(28)))
    qwen3 = shape({**QWEN, "model_type": "qwen3", "hidden_size": 1024, "attention_bias": False})
    assert (qwen3.attention_bias, qwen3.qk_norm, qwen3.head_dim) == (False, True, 128)


def test_smollm_3_rotates_three_layers_of_four() -> None:
    spec = shape({**MISTRAL, "model_type": "smollm3"})
    assert spec.unrotated_layers == tuple(range(3, 32, 4))
    assert spec.sliding_window is None
    windowed = shape({**MISTRAL, "model_type": "smollm3", "use_sliding_window": True})
    assert [windowed.layer_window(layer) for layer in range(5)] == [None, None, None, 4096, None]


@pytest.mark.parametrize("name", ["phimoe", "gemma3", "", None, 3, ["mistral"]])
def test_an_unknown_architecture_is_refused_with_the_list(name: object) -> None:
    with pytest.raises(InputError, match="is not supported") as error:
        shape({**MISTRAL, "model_type": name})
    assert all(known in str(error.value) for known in ARCHITECTURES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', but only 'silu'"),
        ({"attention_bias": True}, "attention_bias is True"),
        ({"mlp_bias": True}, "mlp_bias is True"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ({"num_hidden_layers": 10**9}, "from 1 to 10,000"),
        ({"num_hidden_layers": 10**5000}, "num_hidden_layers is a number of 16610 bits"),
        ({"hidden_size": "4096"}, "hidden_size is '4096'"),
        ({"hidden_size": True}, "hidden_size is True"),
        ({"hidden_size": None}, "hidden_size is missing"),
        ({"num_key_value_heads": 5}, "multiple of num_kv_heads"),
        ({"rope_theta": 10**400}, "rope_theta is a number of 1329 bits"),
        ({"rope_theta": float("nan")}, "rope_theta is nan"),
        ({"tie_word_embeddings": "yes"}, "must be true or false"),
        ({"layer_types": ["full_attention"]}, "an entry for each of the 32 layers"),
        ({"layer_types": ["chunked_attention"] * 32}, "layer_types has 'chunked_attention'"),
        (
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "the kind 'dynamic' is not supported. Supported: default",
        ),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling: factor is missing"),
        ({"rope_scaling": {"type": "linear", "factor": -1.0}}, "factor is -1.0"),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0, "beta_fast": 0.5}}, "must be above beta_slow"),
        ({"rope_scaling": {"type": "llama3", "factor": 2.0}}, "low_freq_factor is missing"),
        ({"rope_scaling": [1]}, "must be one table"),
        ({"rope_parameters": {"full_attention": {}}}, "must be one table"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor must be 1"),
    ],
)
def test_what_cannot_be_is_a_sentence(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        shape({**MISTRAL, **change})
