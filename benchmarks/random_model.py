"""A model with random weights, in Bise's format and as llama.cpp's Q4_0: the same weights, rounded by each in its way.

Speed does not depend on the values, so nothing has to be downloaded. The files are kept (about 1.3 GB for the shape
of 1.1 billion parameters) and made again when they are missing.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bise.tokenizer.tekken import CONTROL_TOKENS, write_tekken
from bise.weights.quantise import quantise_directory
from bise.weights.spec import ModelSpec, write_spec
from bise.weights.tensor_file import write_parts
from bise.weights.tensors import narrow

ONE_BILLION = ModelSpec(
    vocab_size=32_768,
    hidden_size=2048,
    num_layers=22,
    num_heads=32,
    num_kv_heads=8,
    head_dim=64,
    ffn_size=5632,
    context_length=8192,
    rope_theta=1e6,
)
SMALL = replace(ONE_BILLION, hidden_size=512, num_layers=2, num_heads=8, num_kv_heads=2, ffn_size=1024)  # to try things
NUM_SILENT = len(CONTROL_TOKENS) + 256
SPREAD = 0.02  # standard deviation of the weights
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def make_model(directory: Path, spec: ModelSpec) -> Path:
    """The four-bit model in the store's format, made if it is not there; the bfloat16 one stays beside it."""
    target = directory / "int4"
    if not (target / "model.safetensors").is_file():
        _note(f"Rounding the weights to 4 bits in {target}.")
        quantise_directory(make_floats(directory, spec), target, 4)
    return target


def make_gguf(directory: Path, spec: ModelSpec, peers_python: str) -> Path:
    """The same weights as llama.cpp's Q4_0 (output head Q6_K, as its own tool chooses), made if it is not there."""
    target = directory / "q4_0.gguf"
    if not target.is_file():
        _note(f"Writing {target}.")
        script = str(Path(__file__).with_name("llamacpp_files.py"))
        floats = make_floats(directory, spec)
        subprocess.run([peers_python, script, "quantise", str(floats), str(target)], check=True, stdout=sys.stderr)
    return target


def make_floats(directory: Path, spec: ModelSpec, seed: int = 0) -> Path:
    """The bfloat16 model with a tokenizer, made if it is not there."""
    target = directory / "bfloat16"
    if not (target / "model.safetensors").is_file():
        _note(f"Drawing {spec.num_parameters() / 1e6:,.0f} million weights into {target}.")
        target.mkdir(parents=True, exist_ok=True)
        write_spec(target, spec)
        write_tekken(vocabulary(spec.vocab_size - len(CONTROL_TOKENS)), target / "tekken.json")
        stored = {name: ("BF16", shape) for name, shape in spec.tensor_shapes().items()}
        write_parts(target / "model.safetensors", stored, _draw(spec, seed))
    return target


def _draw(spec: ModelSpec, seed: int) -> Iterator[NDArray[np.uint16]]:
    """Every tensor from a random stream of its own: matrices bell-shaped, norms one.

    The head's rows of control tokens and single bytes are zero, so greedy answers are plain letters and never end by
    themselves: every engine writes as many tokens as it is asked for, and each of them can be sent at once.
    """
    for index, (name, shape) in enumerate(spec.tensor_shapes().items()):
        if len(shape) == 1:
            yield narrow(np.ones(shape, np.float32), "BF16")
            continue
        random = np.random.default_rng((seed, index))
        for start in range(0, shape[0], 256):
            part = random.standard_normal((min(256, shape[0] - start), shape[1]), np.float32) * np.float32(SPREAD)
            if name == "output.weight":
                part[: max(0, NUM_SILENT - start)] = 0
            yield narrow(part, "BF16")


def vocabulary(size: int) -> list[bytes]:
    """Bytes, then words of two and three letters, then of four until there are enough."""
    words = [a + b for a in _LETTERS for b in _LETTERS]
    words += [pair + c for pair in words for c in _LETTERS]
    words += [word + c for word in words[676:] for c in _LETTERS]
    return [bytes([byte]) for byte in range(256)] + [word.encode() for word in words[: size - 256]]


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
