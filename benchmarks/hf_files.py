"""A model of ours as Hugging Face's transformers read it, for peers that train with them."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file

from bise.weights.adapter import MODULES
from bise.weights.spec import ModelSpec

_NORMS = {"attention_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm"}
_OUTER = {
    "tok_embeddings.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def hf_name(name: str) -> str:
    """The name that a Llama of transformers gives to a tensor of ours; the layouts are the same."""
    if name in _OUTER:
        return _OUTER[name]
    _, layer, rest = name.split(".", 2)
    module = rest.removesuffix(".weight")
    return f"model.layers.{layer}.{(MODULES | _NORMS)[module]}.weight"


def write_hf(directory: Path, spec: ModelSpec, weights: Mapping[str, torch.Tensor]) -> None:
    """Write config.json and model.safetensors of a Llama with these weights."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "head_dim": spec.head_dim,
        "intermediate_size": spec.ffn_size,
        "max_position_embeddings": spec.context_length,
        "rope_theta": spec.rope_theta,
        "rms_norm_eps": spec.norm_eps,
        "tie_word_embeddings": spec.tied_embeddings,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    (directory / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    tensors = {hf_name(name): weights[name].detach().contiguous() for name in spec.tensor_shapes()}
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
