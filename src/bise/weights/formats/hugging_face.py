"""Hugging Face directories: config.json, and safetensors files in one piece or in shards with an index.

Rotary embeddings are half-split there, as ours are, so no row moves.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.weights.architectures import model_spec
from bise.weights.files import Weights
from bise.weights.formats.foreign import ForeignModel, arrange, left_over, read_json, refuse_code, tokenizer_files
from bise.weights.spec import ModelSpec
from bise.weights.tensor_file import read_safetensors
from bise.weights.tensors import FLOATS, PlainTensor

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
_CLASSES = {
    "mistral": "MistralForCausalLM",
    "ministral": "MinistralForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "llama": "LlamaForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
NAMES = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.wq.weight": "self_attn.q_proj.weight",
    "attention.wk.weight": "self_attn.k_proj.weight",
    "attention.wv.weight": "self_attn.v_proj.weight",
    "attention.wo.weight": "self_attn.o_proj.weight",
    "attention.wq.bias": "self_attn.q_proj.bias",
    "attention.wk.bias": "self_attn.k_proj.bias",
    "attention.wv.bias": "self_attn.v_proj.bias",
    "attention.q_norm.weight": "self_attn.q_norm.weight",
    "attention.k_norm.weight": "self_attn.k_norm.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "feed_forward.w1.weight": "mlp.gate_proj.weight",
    "feed_forward.w3.weight": "mlp.up_proj.weight",
    "feed_forward.w2.weight": "mlp.down_proj.weight",
}
_TOP = {"tok_embeddings.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight"}
_LAYER = re.compile(r"layers\.(\d+)\.(.+)")
_MIXTURE = re.compile(r"feed_forward\.(gate|experts\.\d+\.w[123])\.weight")
_OTHER_PARTS = re.compile(
    r"(model\.)?(vision_tower|multi_modal_projector|vision_model)\..*|.*\.rotary_emb\.inv_freq|lm_head\.weight"
)
_LICENCE = re.compile(r"^license(?:_name)?:\s*['\"]?([\w.+-]+)", re.MULTILINE)


def hugging_face_name(name: str) -> str:
    """A canonical name as transformers has it."""
    if name == "output.weight":
        return "lm_head.weight"
    layer = _LAYER.fullmatch(name)
    if layer is None:
        return _TOP[name]
    mixture = _MIXTURE.fullmatch(layer[2])
    part = f"block_sparse_moe.{mixture[1]}.weight" if mixture else NAMES[layer[2]]
    return f"model.layers.{layer[1]}.{part}"


def read_hugging_face(directory: Path) -> ForeignModel:
    """Open a directory.

    Raises:
        InputError: files are missing, damaged or could run code, or the architecture is not one of ours.
    """
    refuse_code(directory)
    spec = read_config(read_json(directory / CONFIG), str(directory / CONFIG))
    files, tensors = _read_tensors(directory)
    prefix = next(
        (name.removesuffix("model.norm.weight") for name in tensors if name.endswith("model.norm.weight")), ""
    )

    def stored_name(name: str) -> str:
        """Text towers of models that also see have most names behind a prefix."""
        plain = hugging_face_name(name)
        return prefix + plain if prefix + plain in tensors else plain

    stored = arrange(directory, spec, tensors, stored_name)
    used = [stored_name(name) for name in stored]
    notes = left_over(directory, tensors, used, lambda name: _OTHER_PARTS.fullmatch(name) is not None)
    weights = Weights(directory, spec, stored)
    return ForeignModel(
        "Hugging Face", weights, tokenizer_files(directory), {}, notes, read_licence(directory), tuple(files)
    )


def read_licence(directory: Path) -> str:
    """The licence that the model card's head names, or nothing."""
    card = directory / "README.md"
    if not card.is_file() or card.stat().st_size > 1 << 22:
        return ""
    text = card.read_text(encoding="utf-8", errors="replace")
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _LICENCE.findall(head)
    return found[-1] if found else ""


def read_config(config: dict[str, Any], where: str) -> ModelSpec:
    """The spec that a config.json describes.

    Raises:
        InputError: it asks for code of its own, or for something that Bise does not have.
    """
    if "auto_map" in config:
        raise InputError(
            f"{where} asks for Python code of its own (auto_map), which Bise never runs. Fetch a version of the model "
            "that transformers reads without such code."
        )
    if config.get("quantization_config"):
        raise InputError(
            f"{where} describes weights that another program has quantised. Fetch the model in 16 bits, or as GGUF."
        )
    return model_spec(config, where)


def make_config(spec: ModelSpec, dtype: str) -> dict[str, object]:
    """A config.json that transformers reads as this model; `dtype` is torch's name of the weights' type.

    Raises:
        InputError: transformers has no architecture with these parts.
    """
    kind = model_type(spec)
    config: dict[str, object] = {
        "architectures": [_CLASSES[kind]],
        "model_type": kind,
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.ffn_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "head_dim": spec.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": spec.context_length,
        "rms_norm_eps": spec.norm_eps,
        "tie_word_embeddings": spec.tied_embeddings,
        "dtype": dtype,
    }
    config |= _rope(spec)
    if spec.num_experts:
        config |= {"num_local_experts": spec.num_experts, "num_experts_per_tok": spec.experts_per_token}
    if kind == "smollm3":
        config["no_rope_layers"] = [int(layer not in spec.unrotated_layers) for layer in range(spec.num_layers)]
        config["pad_token_id"] = None  # its default lies beyond small vocabularies
    if kind != "llama":
        config["sliding_window"] = spec.sliding_window
    if kind in ("qwen2", "qwen3", "smollm3"):
        config["use_sliding_window"] = spec.sliding_window is not None
    if spec.sliding_window is not None and kind not in ("mistral", "ministral3", "mixtral"):
        full = set(spec.full_attention_layers)
        kinds = ("sliding_attention", "full_attention")
        config["layer_types"] = [kinds[layer in full] for layer in range(spec.num_layers)]
    return config


def model_type(spec: ModelSpec) -> str:
    """The architecture of transformers that computes this model.

    Raises:
        InputError: there is none.
    """
    scaling = spec.rope_scaling
    wanted = {
        "qwen2": spec.attention_bias,
        "qwen3": spec.qk_norm,
        "smollm3": bool(spec.unrotated_layers),
        "ministral3": scaling is not None and scaling.query_beta != 0,
        "mixtral": spec.num_experts > 0,
    }
    kinds = [kind for kind, is_wanted in wanted.items() if is_wanted]
    is_mixed = bool(spec.full_attention_layers)
    if (
        len(kinds) > 1
        or (is_mixed and kinds in (["ministral3"], ["mixtral"]))
        or (scaling is not None and scaling.kind == "factors")
    ):
        raise InputError(
            f"transformers has no architecture with all that this model has ({', '.join(kinds) or 'own rope factors'}). "
            "Export it in another format."
        )
    if kinds:
        return kinds[0]
    if is_mixed:
        return "ministral"
    return "llama" if scaling is not None and spec.sliding_window is None else "mistral"


def _rope(spec: ModelSpec) -> dict[str, object]:
    """The rotary embedding, plain ones also as readers of older files know them."""
    scaling = spec.rope_scaling
    if scaling is None:
        return {
            "rope_theta": spec.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": spec.rope_theta},
        }
    table: dict[str, object] = {"rope_type": scaling.kind, "rope_theta": spec.rope_theta, "factor": scaling.factor}
    if scaling.kind != "linear":
        table["original_max_position_embeddings"] = scaling.original_context
    if scaling.kind == "llama3":
        table |= {"low_freq_factor": scaling.low_freq_factor, "high_freq_factor": scaling.high_freq_factor}
    if scaling.kind == "yarn":
        names = ("beta_fast", "beta_slow", "truncate", "attention_factor")
        table |= {name: getattr(scaling, name) for name in names}
        table |= {"llama_4_scaling_beta": scaling.query_beta} if scaling.query_beta else {}
    return {"rope_theta": spec.rope_theta, "rope_parameters": table}


def _read_tensors(directory: Path) -> tuple[list[Path], dict[str, PlainTensor]]:
    files = list(_weight_files(directory))
    tensors: dict[str, PlainTensor] = {}
    for path in files:
        for name, tensor in read_safetensors(path).items():
            if name in tensors:
                raise InputError(f"{path} holds {name}, which another shard holds too. Fetch the model again.")
            if tensor.dtype not in FLOATS:
                raise InputError(f"{path}: {name} is stored as {tensor.dtype}, but must be {', '.join(FLOATS)}.")
            tensors[name] = tensor
    return files, tensors


def _weight_files(directory: Path) -> Iterator[Path]:
    """The file, or the shards that the index names."""
    index = directory / INDEX
    if not index.is_file():
        if not (directory / WEIGHTS).is_file():
            raise InputError(f"{directory} has a {CONFIG}, but neither {WEIGHTS} nor {INDEX}. Fetch the model again.")
        yield directory / WEIGHTS
        return
    shards = read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{index} is damaged: it has no weight_map. Fetch it again.")
    for name in sorted(set(shards.values())):
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InputError(f"{index} names {name!r}, which is not a safetensors file beside it. Fetch it again.")
        if not (directory / name).is_file():
            raise InputError(f"{directory} has no {name}, which its index names. Fetch the rest of the model.")
        yield directory / name
