"""Runs in the peers' environment (llama-cpp-python, gguf): a Bise model of floats as llama.cpp's Q4_0, and back.

python llamacpp_files.py quantise MODEL_DIRECTORY FILE.gguf      by llama.cpp's own tool, with its own choices
python llamacpp_files.py dequantise FILE.gguf OUT.npz            the floats that llama.cpp computes with
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

import gguf
import llama_cpp
import numpy as np
from llamacpp_names import gguf_name
from numpy.typing import NDArray

CONTROL, NORMAL = 3, 1  # llama.cpp's kinds of token


def main() -> None:
    """Do what the first argument says."""
    action, source, target = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    if action == "quantise":
        quantise(source, target)
    else:
        dequantise(source, target)


def quantise(directory: Path, target: Path) -> None:
    """Write the floats as GGUF, then let llama.cpp round them."""
    floats, rounded = target.with_suffix(".f16"), target.with_suffix(".part")
    write_floats(directory, floats)
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.nthread = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0, os.cpu_count() or 1
    status = llama_cpp.llama_model_quantize(str(floats).encode(), str(rounded).encode(), ctypes.byref(params))
    floats.unlink()
    if status != 0:
        raise SystemExit(f"llama.cpp could not round {floats}: status {status}.")
    rounded.rename(target)


def write_floats(directory: Path, target: Path) -> None:
    """A Bise model of floats as GGUF with matrices in float16."""
    spec = json.loads((directory / "spec.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(target), "llama")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_block_count(spec["num_layers"])
    writer.add_context_length(spec["context_length"])
    writer.add_embedding_length(spec["hidden_size"])
    writer.add_feed_forward_length(spec["ffn_size"])
    writer.add_head_count(spec["num_heads"])
    writer.add_head_count_kv(spec["num_kv_heads"])
    writer.add_layer_norm_rms_eps(spec["norm_eps"])
    writer.add_rope_freq_base(spec["rope_theta"])
    writer.add_rope_dimension_count(spec["head_dim"])
    writer.add_vocab_size(spec["vocab_size"])
    add_vocabulary(writer, spec["vocab_size"])
    for name, tensor in read_tensors(directory / "model.safetensors"):
        heads = {"wq": spec["num_heads"], "wk": spec["num_kv_heads"]}.get(name.split(".")[-2])
        rows = tensor
        if heads:  # llama.cpp rotates neighbours, Bise the halves of a head
            rows = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        writer.add_tensor(gguf_name(name), rows if tensor.ndim == 1 else rows.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(writer: Any, size: int) -> None:
    """As many tokens as the model has, each of them plain letters, so that every piece can be sent at once."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    names = ["<unk>", "<s>", "</s>", *(f"w{index:x}g" for index in range(3, size))]
    writer.add_token_list(names)
    writer.add_token_types([CONTROL if index < 3 else NORMAL for index in range(size)])
    writer.add_token_merges(["w 3"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


def read_tensors(path: Path) -> Any:
    """(name, float32 array) of a safetensors file of bfloat16 or float32, one at a time."""
    data = np.memmap(path, np.uint8, mode="r")
    size = int(data[:8].view("<u8")[0])
    header = json.loads(data[8 : 8 + size].tobytes())
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, end = (8 + size + offset for offset in entry["data_offsets"])
        raw = data[start:end]
        if entry["dtype"] == "BF16":
            values: NDArray[np.float32] = (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = raw.view("<f4").copy()
        yield name, values.reshape(entry["shape"])


def dequantise(source: Path, target: Path) -> None:
    """Every tensor of a GGUF file as float32 under llama.cpp's names."""
    tensors = {}
    for tensor in gguf.GGUFReader(str(source)).tensors:
        shape = tuple(int(size) for size in reversed(tensor.shape))
        tensors[tensor.name] = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
    np.savez(target, **tensors)


if __name__ == "__main__":
    main()
