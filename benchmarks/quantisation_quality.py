"""What rounding to 4 bits costs a trained model: `python benchmarks/quantisation_quality.py [--json] [--text FILE …]`.

The reference is a model's floats (the shipped model's stored weights, taken as exact). Each format rounds them, and the
same plain forward runs with the rounded floats; the figure is the mean Kullback-Leibler divergence of the next-token
distributions from the reference's, in nats a token. llama.cpp's Q4_0 is the file that its own tool writes and reads, so
this needs the peers' Python (`BISE_PEERS_PYTHON`, with llama-cpp-python and gguf).

    kl_ratio          ours over Q4_0's: the bar is at most 1
    kl_ratio_untied   the same when embeddings and head are two matrices (a copy each, where the model shares one);
                      each format then rounds the two as it does: ours 8 and 4 bits, llama.cpp's Q4_0 and Q6_K

Intervals are the middle 95 % of 2,000 bootstrap samples over windows of text, paired between formats.
"""

import argparse
import json
import lzma
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # so that it runs by its path, too

from benchmarks.llamacpp_names import gguf_name
from bise.tokenizer.chat import ChatTokenizer
from bise.weights.files import Weights, open_weights
from bise.weights.quantise import quantise
from bise.weights.spec import ModelSpec, Quantisation, write_spec
from bise.weights.store import DEFAULT_MODEL, find_model
from bise.weights.tensor_file import write_tensors
from bise.weights.tensors import GROUP_SIZE, dequantise

ROOT = Path(__file__).resolve().parents[1]
WINDOW = 256  # tokens
Tensors = dict[str, NDArray[np.float32]]


def main() -> None:
    """Round, run, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--windows", type=int, default=60, help="windows of 256 tokens, spread over the text")
    parser.add_argument("--text", type=Path, nargs="+", default=sorted((ROOT / "tests/data/raw").glob("??.jsonl")))
    parser.add_argument("--peers-python", default=os.environ.get("BISE_PEERS_PYTHON"))
    options = parser.parse_args()
    if options.peers_python is None:
        raise SystemExit("Set BISE_PEERS_PYTHON to a Python that has llama-cpp-python and gguf.")
    directory = find_model(options.model)
    weights = open_weights(directory)
    windows = read_windows(options.text, ChatTokenizer.load(directory / "tekken.json"), options.windows)
    figures = compare(weights, windows, options.peers_python)
    print(json.dumps(figures, indent=2) if options.json else "\n".join(f"{k:18} {v}" for k, v in figures.items()))


def compare(weights: Weights, windows: NDArray[np.int64], peers_python: str) -> dict[str, object]:
    """Every format's divergence from the floats, and ours over Q4_0's."""
    shared = replace(weights.spec, quantisation=None)
    exact = {name: weights.tensor(name) for name in shared.tensor_shapes()}
    apart = replace(shared, tied_embeddings=False)
    reference = [log_probabilities(shared, exact, window) for window in windows]
    figures: dict[str, object] = {}
    divergences = {}
    for kind, spec in (("", shared), ("_untied", apart)):
        floats = exact | {"output.weight": exact.get("output.weight", exact["tok_embeddings.weight"])}
        floats = {name: floats[name] for name in spec.tensor_shapes()}
        for format_ in ("int8", "int4", "q4_0"):
            name = format_ + kind
            if format_ == "q4_0":
                tensors = round_with_llama(spec, floats, peers_python)
            else:
                tensors = round_as_stored(spec, floats, int(format_[-1]))
            pairs = zip(reference, windows, strict=True)
            divergences[name] = np.array([divergence(p, log_probabilities(spec, tensors, w)) for p, w in pairs])
            print(f"{name:12} {divergences[name].mean():.5f} nats", file=sys.stderr, flush=True)
        figures[f"kl_ratio{kind}"] = ratio(divergences[f"int4{kind}"], divergences[f"q4_0{kind}"])
    return figures | {
        "kl": {name: round(float(values.mean()), 6) for name, values in divergences.items()},
        "loss": round(float(np.mean([loss(p, w) for p, w in zip(reference, windows, strict=True)])), 4),
        "tokens": int(windows.size),
    }


def round_as_stored(spec: ModelSpec, exact: Tensors, bits: int) -> Tensors:
    """What `bise pull --bits` would store."""
    rounded = replace(spec, quantisation=Quantisation(bits, GROUP_SIZE))
    chosen = {name: rounded.matrix_bits(name) or bits for name in exact}
    return {name: t if t.ndim == 1 else dequantise(quantise(t, chosen[name])) for name, t in exact.items()}


def round_with_llama(spec: ModelSpec, exact: Tensors, peers_python: str) -> Tensors:
    """What llama.cpp's Q4_0 file of these floats holds."""
    script = str(Path(__file__).with_name("llamacpp_files.py"))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        write_spec(path, spec)
        write_tensors(path / "model.safetensors", {name: ("F32", tensor) for name, tensor in exact.items()})
        for action in (["quantise", directory, "model.gguf"], ["dequantise", "model.gguf", "floats.npz"]):
            subprocess.run(
                [peers_python, script, *action],
                check=True,
                cwd=path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        stored = np.load(path / "floats.npz")
        rounded = {name: np.asarray(stored[gguf_name(name)], np.float32) for name in exact}
    for name, tensor in rounded.items():
        heads = {"wq": spec.num_heads, "wk": spec.num_kv_heads}.get(name.split(".")[-2])
        if heads:  # back from neighbours to halves
            rounded[name] = tensor.reshape(heads, -1, 2, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
    return rounded


def log_probabilities(spec: ModelSpec, tensors: Tensors, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """A plain forward over one window: log of the next-token distribution at each place, [T, V]."""
    x = tensors["tok_embeddings.weight"][ids]
    half = spec.head_dim // 2
    angles = np.outer(np.arange(len(ids)), spec.rope_theta ** (-np.arange(half) / half)).astype(np.float32)[:, None]
    future = np.triu(np.full((len(ids), len(ids)), -np.inf, np.float32), 1)

    def norm(x: NDArray[np.float32], name: str) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = x / np.sqrt((x * x).mean(axis=1, keepdims=True) + spec.norm_eps) * tensors[name]
        return scaled

    def heads(x: NDArray[np.float32], name: str, rotate: bool) -> NDArray[np.float32]:
        split = (x @ tensors[name].T).reshape(len(x), -1, spec.head_dim)
        if rotate:
            first, second = split[..., :half], split[..., half:]
            cos, sin = np.cos(angles), np.sin(angles)
            split = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=2)
        return split.swapaxes(0, 1)

    for layer in range(spec.num_layers):
        prefix = f"layers.{layer}."
        normed = norm(x, prefix + "attention_norm.weight")
        query, key = (heads(normed, f"{prefix}attention.{part}.weight", True) for part in ("wq", "wk"))
        value = heads(normed, prefix + "attention.wv.weight", False)
        group = spec.num_heads // spec.num_kv_heads
        scores = query @ key.repeat(group, axis=0).swapaxes(1, 2) / np.float32(np.sqrt(spec.head_dim)) + future
        weights = np.exp(scores - scores.max(axis=2, keepdims=True))
        attended = weights / weights.sum(axis=2, keepdims=True) @ value.repeat(group, axis=0)
        x = x + attended.swapaxes(0, 1).reshape(len(x), -1) @ tensors[prefix + "attention.wo.weight"].T
        normed = norm(x, prefix + "ffn_norm.weight")
        gate, up = (normed @ tensors[f"{prefix}feed_forward.{part}.weight"].T for part in ("w1", "w3"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ tensors[prefix + "feed_forward.w2.weight"].T
    head = "tok_embeddings.weight" if spec.tied_embeddings else "output.weight"
    logits = (norm(x, "norm.weight") @ tensors[head].T).astype(np.float64)
    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return logits


def divergence(reference: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Mean over places of sum p (log p - log q), nats."""
    return float((np.exp(reference) * (reference - other)).sum(axis=1).mean())


def loss(log_p: NDArray[np.float64], ids: NDArray[np.int64]) -> float:
    """Mean surprise at the next token, nats."""
    return -float(log_p[np.arange(len(ids) - 1), ids[1:]].mean())


def ratio(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> dict[str, float]:
    """Ratio of means with its bootstrap interval; windows are drawn for both at once."""
    draws = np.random.default_rng(0).integers(0, len(ours), (2000, len(ours)))
    low, high = np.quantile(ours[draws].mean(axis=1) / theirs[draws].mean(axis=1), [0.025, 0.975])
    return {
        "value": round(float(ours.mean() / theirs.mean()), 4),
        "low": round(float(low), 4),
        "high": round(float(high), 4),
    }


def read_windows(paths: Sequence[Path], tokenizer: ChatTokenizer, count: int) -> NDArray[np.int64]:
    """As many windows as asked for, evenly from all files, each from the beginning of a document."""
    streams = [_windows(path, tokenizer) for path in paths]
    windows: list[list[int]] = []
    while streams and len(windows) < count:
        for stream in list(streams):
            window = next(stream, None)
            if window is None:
                streams.remove(stream)
            else:
                windows.append(window)
    if not windows:
        raise SystemExit(f"No document of {WINDOW} tokens in {', '.join(map(str, paths))}.")
    return np.array(windows[:count])


def _windows(path: Path, tokenizer: ChatTokenizer) -> Iterator[list[int]]:
    """The first window of each long document of a JSON-lines file (plain or xz) with a field `text`."""
    reader = lzma.open if path.suffix == ".xz" else open
    pending: list[int] = []
    with reader(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            pending += tokenizer.encode(json.loads(line)["text"])
            if len(pending) >= WINDOW:
                yield pending[:WINDOW]
                pending = []


if __name__ == "__main__":
    main()
