"""GGUF models: metadata to a spec and back, and blocks as tensors of ours.

Q4_0 and Q8_0 pass unchanged. The other quantised types become 8 bits, as does a matrix that a quantised file leaves in
floats: the engine has no kernels for them. llama.cpp rotates neighbouring rows in files of the architecture "llama".
"""

import math
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bise.errors import InputError
from bise.gguf import Header, Tensor, Value, open_gguf, tensor_bytes
from bise.weights.architectures import model_spec
from bise.weights.files import Weights, check_quantisation
from bise.weights.formats.blocks import read_exact, to_floats
from bise.weights.formats.foreign import ForeignModel, arrange, left_over
from bise.weights.formats.mistral import rotated_heads
from bise.weights.quantise import quantise
from bise.weights.rope import RopeScaling, rotary_frequencies, yarn_attention_factor
from bise.weights.spec import ModelSpec, Quantisation, joined_matrices
from bise.weights.tensors import (
    FLOATS,
    GROUP_SIZE,
    Floats,
    PlainTensor,
    QuantisedTensor,
    Region,
    Reordered,
    Rows,
    Stored,
    dequantise,
    pairs_to_halves,
)

# llama.cpp's name -> that of config.json, and whether the rows of queries and keys are interleaved.
ARCHITECTURES = {
    "llama": ("mistral", True),
    "qwen2": ("qwen2", False),
    "qwen3": ("qwen3", False),
    "smollm3": ("smollm3", True),
    "mistral3": ("ministral3", True),
}
ROPE_FACTORS = "rope_freqs.weight"
_KEYS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "attention.sliding_window": "sliding_window",
    "expert_count": "num_local_experts",
    "expert_used_count": "num_experts_per_tok",
}
# What only files of the architecture mistral3 say of rotary embeddings, and what it is in config.json.
_MISTRAL3_KEYS = {
    "rope.scaling.yarn_beta_fast": "beta_fast",
    "rope.scaling.yarn_beta_slow": "beta_slow",
    "rope.scaling.yarn_log_multiplier": "mscale_all_dim",
    "attention.temperature_scale": "llama_4_scaling_beta",
}
_LLAMA3 = [RopeScaling("llama3", factor, 8192) for factor in (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)]
NAMES = {
    "tok_embeddings": "token_embd",
    "norm": "output_norm",
    "output": "output",
    "attention_norm": "attn_norm",
    "attention.wq": "attn_q",
    "attention.wk": "attn_k",
    "attention.wv": "attn_v",
    "attention.wo": "attn_output",
    "attention.q_norm": "attn_q_norm",
    "attention.k_norm": "attn_k_norm",
    "ffn_norm": "ffn_norm",
    "feed_forward.w1": "ffn_gate",
    "feed_forward.w3": "ffn_up",
    "feed_forward.w2": "ffn_down",
    "feed_forward.gate": "ffn_gate_inp",
}
_EXPERT = re.compile(r"feed_forward\.experts\.(\d+)\.(w[123])")
_EXPERT_TENSOR = re.compile(r"(blk\.\d+\.ffn_(?:gate|up|down))\.\d+\.weight")
_JOINED = re.compile(r"(blk\.\d+\.ffn_(?:gate|up|down))_exps\.weight")
_EXACT = {"Q4_0": 4, "Q8_0": 8}
_FILE_TYPES = {"F32": 0, "F16": 1, "U8": 2, "I8": 7, "BF16": 32}  # llama.cpp's numbers of what most matrices have
_VOCABULARY = ("tokenizer.", "bise.")


@dataclass(frozen=True)
class FloatBlocks:
    """A tensor of a type that is not ours, as floats."""

    region: Region
    kind: str
    shape: tuple[int, ...]
    dtype: str = "F32"

    def floats(self, rows: Rows) -> Floats:
        """Some rows as float32."""
        return to_floats(self.kind, self.region.table(self.shape[0])[rows])

    def integers(self, rows: Rows) -> QuantisedTensor:  # noqa: ARG002
        """There are none."""
        raise AssertionError(f"{self.kind} is read as floats")

    def release(self) -> None:
        """Drop the pages."""
        self.region.release()


@dataclass(frozen=True)
class ExactBlocks:
    """A tensor of Q4_0 or Q8_0."""

    region: Region
    kind: str
    shape: tuple[int, ...]
    bits: int  # 8 also for Q4_0 where the spec wants 8: the values fit, and the scales are the same

    @property
    def dtype(self) -> str:
        """Of the integers."""
        return "U8" if self.bits == 4 else "I8"

    def floats(self, rows: Rows) -> Floats:
        """Some rows as float32."""
        return dequantise(self.integers(rows))

    def integers(self, rows: Rows) -> QuantisedTensor:
        """Some rows, unchanged."""
        return replace(read_exact(self.kind, self.region.table(self.shape[0])[rows]), bits=self.bits)

    def release(self) -> None:
        """Drop the pages."""
        self.region.release()


@dataclass(frozen=True)
class Rounded:
    """A tensor of floats, rounded to 8 bits when it is read."""

    stored: Stored
    dtype: str = "I8"

    @property
    def shape(self) -> tuple[int, ...]:
        """The same."""
        return self.stored.shape

    def floats(self, rows: Rows) -> Floats:
        """Some rows as they are after rounding."""
        return dequantise(self.integers(rows))

    def integers(self, rows: Rows) -> QuantisedTensor:
        """Some rows, rounded."""
        return quantise(self.stored.floats(rows), 8)

    def release(self) -> None:
        """Drop the pages."""
        self.stored.release()


def read_gguf(path: Path) -> ForeignModel:
    """Open a GGUF file.

    Raises:
        InputError: the file is damaged, or the architecture is not one of ours.
    """
    header, data = open_gguf(path)
    spec = read_metadata(header, data, str(path))
    found: dict[str, Stored] = {}
    tensors = _apart(header.tensors, spec.num_experts)
    for name, place in tensors.items():
        region, kind = Region(data, place.start, place.end), place.type
        found[name] = (
            PlainTensor(region, kind, place.shape) if kind in FLOATS else FloatBlocks(region, kind, place.shape)
        )
    stored = arrange(path, spec, found, gguf_name)
    notes = left_over(path, found, [ROPE_FACTORS, *map(gguf_name, stored)], lambda _: False)
    quantisation = _quantisation(path, spec, tensors)
    if quantisation is not None:
        spec = replace(spec, quantisation=quantisation)
        notes += _growth(spec, tensors)
        stored = {name: _in_integers(path, spec, name, tensor) for name, tensor in stored.items()}
    interleaved = is_interleaved(header.text("general.architecture"))
    for name, tensor in stored.items():
        heads = rotated_heads(spec, name)
        if heads and interleaved:
            stored[name] = Reordered(tensor, pairs_to_halves(heads, spec.head_dim))
    vocabulary = {key: value for key, value in header.metadata.items() if key.startswith(_VOCABULARY)}
    licence = header.text("general.license")
    return ForeignModel("GGUF", Weights(path, spec, stored), (), vocabulary, notes, licence, (path,))


def gguf_name(name: str) -> str:
    """A canonical name as llama.cpp has it."""
    stem, kind = name.rsplit(".", 1)
    if not stem.startswith("layers."):
        return f"{NAMES[stem]}.{kind}"
    _, layer, part = stem.split(".", 2)
    expert = _EXPERT.fullmatch(part)
    if expert is not None:  # as older files have it, each by itself
        return f"blk.{layer}.{NAMES['feed_forward.' + expert[2]]}.{expert[1]}.{kind}"
    return f"blk.{layer}.{NAMES[part]}.{kind}"


def joined_name(name: str) -> str:
    """A canonical name as llama.cpp writes it today: that of the matrices of all experts of a layer is one."""
    expert = _EXPERT_TENSOR.fullmatch(gguf_name(name))
    return f"{expert[1]}_exps.weight" if expert else gguf_name(name)


def read_metadata(header: Header, data: mmap.mmap, where: str) -> ModelSpec:
    """The spec, without quantisation, that a file's metadata describes.

    Raises:
        InputError: it asks for something that Bise does not have.
    """
    architecture = header.text("general.architecture")
    if architecture not in ARCHITECTURES:
        raise InputError(
            f"{where} holds a model of the architecture {architecture!r}. Of GGUF, Bise reads: {', '.join(ARCHITECTURES)}."
        )
    own = {key.removeprefix(architecture + "."): value for key, value in header.metadata.items()}
    embeddings = header.tensors.get("token_embd.weight")
    if embeddings is None:
        raise InputError(f"{where} has no tensor token_embd.weight. Is it only a part of a model? Fetch all of it.")
    config: dict[str, object] = {theirs: own[ours] for ours, theirs in _KEYS.items() if ours in own}
    for key, meaning in (("attention.key_length", "head_dim"), ("attention.value_length", "head_dim"),
                         ("rope.dimension_count", "head_dim")):  # fmt: skip
        if key in own and config.setdefault(meaning, own[key]) != own[key]:
            raise InputError(
                f"{where}: {key} is {own[key]!r}, but must be {config[meaning]!r}, as the other sizes are."
            )
    kind = ARCHITECTURES[architecture][0]
    if own.get("expert_count", 0) != 0:
        if kind != "mistral":
            raise InputError(f"{where}: of mixtures of experts in GGUF, Bise reads those of the architecture llama.")
        kind = "mixtral"
    window = config.setdefault("sliding_window", None)
    config |= {
        "model_type": kind,
        "vocab_size": embeddings.shape[0],
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "use_sliding_window": window is not None,
        "rope_scaling": _read_scaling(own, architecture, where),
    }
    spec = model_spec(config, where)
    return _with_factors(spec, header, data, where)


def make_metadata(spec: ModelSpec, name: str, dtype: str) -> dict[str, Value]:
    """The metadata of a model but for its vocabulary; `dtype` is what most matrices have.

    Raises:
        InputError: llama.cpp has no architecture with these parts.
    """
    architecture = _architecture(spec)
    own: dict[str, Value] = {
        "block_count": spec.num_layers,
        "context_length": spec.context_length,
        "embedding_length": spec.hidden_size,
        "feed_forward_length": spec.ffn_size,
        "attention.head_count": spec.num_heads,
        "attention.head_count_kv": spec.num_kv_heads,
        "attention.key_length": spec.head_dim,
        "attention.value_length": spec.head_dim,
        "attention.layer_norm_rms_epsilon": spec.norm_eps,
        "rope.freq_base": spec.rope_theta,
        "rope.dimension_count": spec.head_dim,
        "vocab_size": spec.vocab_size,
    }
    if spec.num_experts:
        own |= {"expert_count": spec.num_experts, "expert_used_count": spec.experts_per_token}
    if spec.sliding_window:
        own["attention.sliding_window"] = spec.sliding_window
    if spec.rope_scaling is not None:
        own |= _write_scaling(spec.rope_scaling, architecture)
    general: dict[str, Value] = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": name,
        "general.file_type": _FILE_TYPES[dtype],
        "general.quantization_version": 2,
    }
    return general | {f"{architecture}.{key}": value for key, value in own.items()}


def _apart(tensors: Mapping[str, Tensor], num_experts: int) -> dict[str, Tensor]:
    """The matrices of experts that a file holds as one tensor [experts, rows, columns], each by itself."""
    apart: dict[str, Tensor] = {}
    for name, whole in tensors.items():
        joined = _JOINED.fullmatch(name)
        if joined is None or len(whole.shape) != 3 or whole.shape[0] != num_experts:
            apart[name] = whole
            continue
        size = (whole.end - whole.start) // num_experts  # rows are whole blocks
        for expert in range(num_experts):
            start = whole.start + expert * size
            part = replace(whole, shape=whole.shape[1:], start=start, end=start + size)
            apart[f"{joined[1]}.{expert}.weight"] = part
    return apart


def rope_factors(spec: ModelSpec) -> Floats | None:
    """What llama.cpp divides each rotary frequency by, in a tensor of its own; None where metadata says it."""
    scaling = spec.rope_scaling
    if scaling is None or scaling.kind not in ("llama3", "factors"):
        return None
    plain = rotary_frequencies(spec.head_dim, spec.rope_theta, None)
    return (plain / rotary_frequencies(spec.head_dim, spec.rope_theta, scaling)).astype(np.float32)


def is_interleaved(architecture: str) -> bool:
    """Whether rows of queries and keys are interleaved in files of an architecture."""
    return ARCHITECTURES[architecture][1]


def _architecture(spec: ModelSpec) -> str:
    """llama.cpp's architecture that computes this model.

    Raises:
        InputError: there is none.
    """
    scaling = spec.rope_scaling
    wanted = {
        "qwen2": spec.attention_bias,
        "qwen3": spec.qk_norm,
        "smollm3": bool(spec.unrotated_layers),
        "mistral3": scaling is not None and scaling.kind == "yarn" and scaling != _plain_yarn(scaling),
    }
    kinds = [kind for kind, is_wanted in wanted.items() if is_wanted]
    every_fourth = tuple(range(3, spec.num_layers, 4))
    if (
        len(kinds) > 1
        or spec.full_attention_layers
        or (kinds == ["smollm3"] and spec.unrotated_layers != every_fourth)
        or (kinds == ["mistral3"] and not _is_mistral3(spec))
    ):
        raise InputError(
            "llama.cpp has no architecture with all that this model has (windows in some layers, a yarn with windows, or "
            "parts of several families). Export it to hf."
        )
    return kinds[0] if kinds else "llama"


def _plain_yarn(scaling: RopeScaling) -> RopeScaling:
    """The one yarn whose meaning is the same in all of llama.cpp's architectures and transformers."""
    return RopeScaling(
        "yarn", scaling.factor, scaling.original_context, attention_factor=yarn_attention_factor(scaling.factor)
    )


def _is_mistral3(spec: ModelSpec) -> bool:
    """Whether llama.cpp's mistral3, which has no windows and ramps between whole dimensions, computes a model with yarn."""
    scaling = spec.rope_scaling
    assert scaling is not None
    says_temperature = scaling.factor > 1 or scaling.attention_factor == 1
    return scaling.truncate and says_temperature and not spec.sliding_window and not spec.num_experts


def _write_scaling(scaling: RopeScaling, architecture: str) -> dict[str, Value]:
    """The stretching of rotary frequencies that metadata says; that of other kinds is a tensor."""
    if scaling.kind not in ("linear", "yarn"):
        return {}
    own: dict[str, Value] = {"rope.scaling.type": scaling.kind, "rope.scaling.factor": scaling.factor}
    if scaling.kind == "yarn":
        own["rope.scaling.original_context_length"] = scaling.original_context
    if architecture != "mistral3":
        return own
    own |= {"rope.scaling.yarn_beta_fast": scaling.beta_fast, "rope.scaling.yarn_beta_slow": scaling.beta_slow}
    # llama.cpp multiplies by the temperature that yarn derives from the factor, over that of the factor and this number.
    excess = yarn_attention_factor(scaling.factor) / scaling.attention_factor - 1
    if excess:
        own["rope.scaling.yarn_log_multiplier"] = excess / (0.1 * math.log(scaling.factor))
    if scaling.query_beta:
        own["attention.temperature_scale"] = scaling.query_beta
    return own


def _read_scaling(own: Mapping[str, Value], architecture: str, where: str) -> dict[str, object] | None:
    """The stretching of rotary frequencies as config.json has it."""
    kind = own.get("rope.scaling.type", "none")
    keys = {"rope.scaling.factor": "factor", "rope.scaling.original_context_length": "original_max_position_embeddings"}
    if architecture == "mistral3":
        _refuse_scaling(own, kind, where)
        keys |= _MISTRAL3_KEYS
    if kind == "none":
        return None
    table: dict[str, object] = {theirs: own[ours] for ours, theirs in keys.items() if ours in own}
    return {"rope_type": kind, "mscale": 1.0, **table}


def _refuse_scaling(own: Mapping[str, Value], kind: Value, where: str) -> None:
    """Name what a file of the architecture mistral3 says of rotary embeddings and Bise does not compute."""
    plain = {f"rope.scaling.{key}": 1.0 for key in ("attn_factor", "yarn_attn_factor", "yarn_ext_factor")}
    if kind != "yarn":
        plain["attention.temperature_scale"] = 0.0
    for key, value in plain.items():
        if own.get(key, value) != value:
            raise InputError(
                f"{where}: mistral3.{key} is {own[key]!r}, but only {value} is supported with rope.scaling.type {kind!r}. "
                "Fetch the model as safetensors."
            )


def _with_factors(spec: ModelSpec, header: Header, data: mmap.mmap, where: str) -> ModelSpec:
    """The spec with the factors of its own tensor, as Llama 3's where they are those."""
    place = header.tensors.get(ROPE_FACTORS)
    if place is None:
        return spec
    if place.shape != (spec.head_dim // 2,) or place.type != "F32" or spec.rope_scaling is not None:
        raise InputError(f"{where}: {ROPE_FACTORS} has shape {place.shape} ({place.type}). Fetch the file again.")
    factors = np.frombuffer(data, "<f4", len(data[place.start : place.end]) // 4, place.start)
    for known in _LLAMA3:
        expected = rope_factors(replace(spec, rope_scaling=known))
        assert expected is not None
        if np.allclose(factors, expected, rtol=1e-5):
            return replace(spec, rope_scaling=known)
    try:
        return replace(spec, rope_scaling=RopeScaling("factors", factors=tuple(map(float, factors))))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _quantisation(path: Path, spec: ModelSpec, tensors: Mapping[str, Tensor]) -> Quantisation | None:
    """4 bits when some matrix beside embeddings and head is Q4_0; then all that are not, and what is joined with them, 8."""
    matrices = {name: tensors[gguf_name(name)].type for name in spec.matrix_shapes()}
    if all(kind in FLOATS for kind in matrices.values()):
        return None
    layered = [kind for name, kind in matrices.items() if name.startswith("layers.")]
    quantisation = Quantisation(8, GROUP_SIZE)
    if "Q4_0" in layered:
        wide = {name for name, kind in matrices.items() if kind != "Q4_0" and name != "tok_embeddings.weight"}
        for joined in joined_matrices(spec):
            if wide & set(joined):
                wide |= set(joined)
        quantisation = Quantisation(4, GROUP_SIZE, tuple(name for name in matrices if name in wide))
    check_quantisation(replace(spec, quantisation=quantisation), quantisation, str(path))
    return quantisation


def _in_integers(path: Path, spec: ModelSpec, name: str, tensor: Stored) -> Stored:
    """A tensor of a quantised file as the spec wants it."""
    bits = spec.matrix_bits(name) if len(tensor.shape) == 2 else None
    if bits is None:
        if isinstance(tensor, FloatBlocks):
            raise InputError(
                f"{path}: {gguf_name(name)}, which must be floats, is stored as {tensor.kind}. Fetch another file."
            )
        return tensor
    if isinstance(tensor, FloatBlocks) and _EXACT.get(tensor.kind, 9) <= bits:
        return ExactBlocks(tensor.region, tensor.kind, tensor.shape, bits)
    return Rounded(tensor)


def _growth(spec: ModelSpec, tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """What rounding anew at 8 bits does to the size, in a sentence."""
    before = after = 0
    kinds = set()
    for name, shape in spec.matrix_shapes().items():
        kind, bits = tensors[gguf_name(name)].type, spec.matrix_bits(name)
        if bits is not None and _EXACT.get(kind, 0) != bits:
            kinds.add(kind)
            before += tensor_bytes(kind, shape)
            after += tensor_bytes("Q8_0" if bits == 8 else "Q4_0", shape)
    if not kinds:
        return ()
    return (
        f"Its matrices of {', '.join(sorted(kinds))} are taken over at 8 bits: {before / 1e6:,.1f} MB become "
        f"{after / 1e6:,.1f} MB.",
    )
