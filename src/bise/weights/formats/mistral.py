"""Mistral's own format: params.json and consolidated safetensors files, whose names are our canonical ones.

Rotary pairs are interleaved there: rows of queries and keys change their order on the way in and out.
"""

import re
from pathlib import Path
from typing import Any

from bise.errors import InputError
from bise.weights.architectures import model_spec
from bise.weights.files import Weights
from bise.weights.formats.foreign import ForeignModel, arrange, left_over, read_json, refuse_code, tokenizer_files
from bise.weights.formats.hugging_face import read_licence
from bise.weights.rope import yarn_attention_factor
from bise.weights.spec import ModelSpec
from bise.weights.tensor_file import read_safetensors
from bise.weights.tensors import FLOATS, Reordered, Stored, pairs_to_halves

PARAMS = "params.json"
WEIGHTS = "consolidated.safetensors"
_CONTEXT = 32_768  # tokens, of Mistral 7B, whose params.json does not say
_FILES = re.compile(r"consolidated(?:[-.]\d+(?:-of-\d+)?)?\.safetensors")
_OTHER_PARTS = re.compile(r"(vision_encoder|vision_language_adapter|patch_merger|pre_mm_projector_norm)\b.*")
_WITHOUT = ("rope_scaling", "lora", "use_biases", "quantization", "q_lora_rank")
# What config.json calls the values of params.json; for the others see `read_params`.
_KEYS = {
    "vocab_size": "vocab_size",
    "dim": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "n_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "hidden_dim": "intermediate_size",
    "norm_eps": "rms_norm_eps",
    "rope_theta": "rope_theta",
    "tied_embeddings": "tie_word_embeddings",
}


def read_mistral(directory: Path) -> ForeignModel:
    """Open a directory.

    Raises:
        InputError: files are missing, damaged or could run code, or the architecture is not one of ours.
    """
    refuse_code(directory)
    spec = read_params(read_json(directory / PARAMS), str(directory / PARAMS))
    files = sorted(path for path in directory.iterdir() if _FILES.fullmatch(path.name))
    if not files:
        raise InputError(f"{directory} has a {PARAMS}, but no {WEIGHTS}. Fetch the model again.")
    found: dict[str, Stored] = {}
    for path in files:
        for name, plain in read_safetensors(path).items():
            if name in found or plain.dtype not in FLOATS:
                raise InputError(f"{path}: {name} is there twice or not of {', '.join(FLOATS)}. Fetch the model again.")
            found[name] = plain
    stored = arrange(directory, spec, found, str)
    notes = left_over(directory, found, stored, lambda name: _OTHER_PARTS.fullmatch(name) is not None)
    for name, tensor in stored.items():
        heads = rotated_heads(spec, name)
        if heads:
            stored[name] = Reordered(tensor, pairs_to_halves(heads, spec.head_dim))
    weights = Weights(directory, spec, stored)
    return ForeignModel(
        "Mistral", weights, tokenizer_files(directory), {}, notes, read_licence(directory), tuple(files)
    )


def rotated_heads(spec: ModelSpec, name: str) -> int:
    """Heads whose rows a tensor holds in an order that depends on the rotary layout; 0 for all others."""
    part = name.rsplit(".", 2)[-2]
    return {"wq": spec.num_heads, "wk": spec.num_kv_heads}.get(part, 0)


def read_params(params: dict[str, Any], where: str) -> ModelSpec:
    """The spec that a params.json describes.

    Raises:
        InputError: it asks for something that Bise does not have.
    """
    for key in _WITHOUT:
        if params.get(key):
            raise InputError(f"{where}: {key} is {params[key]!r}. Bise reads dense text models without {key}.")
    config = {theirs: params[ours] for ours, theirs in _KEYS.items() if ours in params}
    context = params.get("max_position_embeddings") or params.get("max_seq_len") or _CONTEXT
    window = params.get("sliding_window") or params.get("_sliding_window")
    config |= {"model_type": "mistral", "max_position_embeddings": context, "sliding_window": window}
    config.setdefault("rms_norm_eps", 1e-5)
    if params.get("moe") and params.get("yarn"):
        raise InputError(f"{where} has both moe and yarn, which Bise does not compute together.")
    if params.get("moe"):
        config |= {"model_type": "mixtral", **_read_mixture(params["moe"], where)}
    if params.get("yarn"):
        config |= {"model_type": "ministral3", "rope_parameters": _read_yarn(params, where)}
    return model_spec(config, where)


def _read_mixture(moe: Any, where: str) -> dict[str, Any]:
    """The numbers of experts as config.json has them."""
    numbers = {"num_experts": "num_local_experts", "num_experts_per_tok": "num_experts_per_tok"}
    if not isinstance(moe, dict) or set(moe) != set(numbers):
        raise InputError(f"{where}: moe must be a table of {' and '.join(numbers)}, which is all that Bise computes.")
    return {theirs: moe[ours] for ours, theirs in numbers.items()}


def _read_yarn(params: dict[str, Any], where: str) -> dict[str, Any]:
    """The tables of stretched rotary embeddings as config.json has them."""
    yarn, queries = params["yarn"], params.get("llama_4_scaling") or {}
    if not isinstance(yarn, dict) or not isinstance(queries, dict):
        raise InputError(f"{where}: yarn and llama_4_scaling must be tables.")
    table = {
        "rope_type": "yarn",
        "rope_theta": params.get("rope_theta"),
        "factor": yarn.get("factor"),
        "original_max_position_embeddings": yarn.get("original_max_position_embeddings"),
        "beta_fast": yarn.get("beta"),
        "beta_slow": yarn.get("alpha"),
        "llama_4_scaling_beta": queries.get("beta"),
    }
    return table | ({} if yarn.get("apply_scale", True) else {"attention_factor": 1.0})


def make_params(spec: ModelSpec) -> dict[str, object]:
    """A params.json of this model.

    Raises:
        InputError: the format has no words for a part of it.
    """
    scaling = spec.rope_scaling
    parts = {
        "biases": spec.attention_bias,
        "norms of heads": spec.qk_norm,
        "layers without rotation": spec.unrotated_layers,
        "windows in some layers": spec.full_attention_layers,
        "such rotary frequencies": scaling is not None and (scaling.kind != "yarn" or not scaling.truncate),
    }
    missing = [part for part, is_there in parts.items() if is_there]
    if missing:
        raise InputError(
            f"Mistral's format has no {', '.join(missing)}, which this model has. Export it to hf or gguf."
        )
    params: dict[str, object] = {
        "dim": spec.hidden_size,
        "n_layers": spec.num_layers,
        "head_dim": spec.head_dim,
        "hidden_dim": spec.ffn_size,
        "n_heads": spec.num_heads,
        "n_kv_heads": spec.num_kv_heads,
        "rope_theta": spec.rope_theta,
        "norm_eps": spec.norm_eps,
        "vocab_size": spec.vocab_size,
        "tied_embeddings": spec.tied_embeddings,
        "max_position_embeddings": spec.context_length,
    }
    if scaling is not None:
        usual = yarn_attention_factor(scaling.factor)
        if scaling.attention_factor not in (1.0, usual):
            raise InputError(
                f"Mistral's format has no attention factor of {scaling.attention_factor}. Export it to hf."
            )
        original = scaling.original_context
        params["yarn"] = {
            "factor": scaling.factor,
            "original_max_position_embeddings": original,
            "beta": scaling.beta_fast,
            "alpha": scaling.beta_slow,
            "apply_scale": scaling.attention_factor == usual,
        }
        if scaling.query_beta:
            params["llama_4_scaling"] = {"original_max_position_embeddings": original, "beta": scaling.query_beta}
    if spec.num_experts:
        params["moe"] = {"num_experts_per_tok": spec.experts_per_token, "num_experts": spec.num_experts}
    return params | ({"sliding_window": spec.sliding_window} if spec.sliding_window else {})
