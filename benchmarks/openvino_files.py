"""Runs in OpenVINO's environment: `python openvino_files.py MODEL_DIRECTORY OUT GROUP_SIZE`, Bise's floats as int4 IR.

The export is OpenVINO's own, of the same model in transformers. Every matrix gets 4 bits, as in Bise's file, with one
scale for GROUP_SIZE weights. Without data to fit them to, the scales follow from the weights.
"""

import json
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nncf
import openvino
from optimum.exporters.openvino import export_from_model
from safetensors.torch import load_file
from transformers import MistralConfig, MistralForCausalLM

NAMES = {
    "tok_embeddings": "model.embed_tokens",
    "norm": "model.norm",
    "output": "lm_head",
    "attention_norm": "input_layernorm",
    "attention.wq": "self_attn.q_proj",
    "attention.wk": "self_attn.k_proj",
    "attention.wv": "self_attn.v_proj",
    "attention.wo": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
}


def main() -> None:
    """Convert the model."""
    source, target, group_size = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    part = target.with_suffix(".part")
    with tempfile.TemporaryDirectory(dir=target.parent) as floats:
        export_from_model(load_model(source), floats, task="text-generation-with-past")
        model = openvino.Core().read_model(Path(floats) / "openvino_model.xml")
        mode = nncf.CompressWeightsMode.INT4_SYM
        rounded = nncf.compress_weights(model, mode=mode, ratio=1.0, group_size=group_size, all_layers=True)
        shutil.copytree(floats, part, ignore=shutil.ignore_patterns("openvino_model.*"), dirs_exist_ok=True)
        openvino.save_model(rounded, part / "openvino_model.xml")
    part.rename(target)


def load_model(directory: Path) -> Any:
    """A Bise model of floats as transformers has it; both pair the halves of a head when they rotate it."""
    spec = json.loads((directory / "spec.json").read_text(encoding="utf-8"))
    config = MistralConfig(
        vocab_size=spec["vocab_size"],
        hidden_size=spec["hidden_size"],
        intermediate_size=spec["ffn_size"],
        num_hidden_layers=spec["num_layers"],
        num_attention_heads=spec["num_heads"],
        num_key_value_heads=spec["num_kv_heads"],
        head_dim=spec["head_dim"],
        max_position_embeddings=spec["context_length"],
        rope_parameters={"rope_type": "default", "rope_theta": spec["rope_theta"]},
        rms_norm_eps=spec["norm_eps"],
        sliding_window=None,
        tie_word_embeddings=False,
    )
    model: Any = MistralForCausalLM(config)
    tensors = load_file(directory / "model.safetensors")
    model.load_state_dict({transformers_name(name): tensor for name, tensor in tensors.items()})
    return model.eval()


def transformers_name(name: str) -> str:
    """A canonical tensor name as transformers calls it."""
    match = re.fullmatch(r"(?:layers\.(\d+)\.)?(.+)\.weight", name)
    assert match, name
    layer, rest = match.groups()
    return f"model.layers.{layer}.{NAMES[rest]}.weight" if layer else f"{NAMES[rest]}.weight"


if __name__ == "__main__":
    main()
